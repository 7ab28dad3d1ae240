import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type CommandOutcome, command } from '../../support/stock-clients.ts';
import type { Bench } from './bench.ts';
import { COMPILED } from './commands.ts';

/** `workcell serve` as its own process, and the stock command against it. */
export interface Served extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>;
  msb(args: readonly string[], input?: string): Promise<CommandOutcome>;
  /** Ends the server as a power cut would. */
  kill(): Promise<void>;
}

/** Starts the server; it listens when this resolves. */
export async function serve({ programs, configPath, clients }: Bench): Promise<Served> {
  const main = join(programs, 'cli.mjs');
  const child = spawn(process.execPath, [main, '--config', configPath, 'serve', '--port', '0'], {
    env: { ...process.env, ...COMPILED },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const ended = exited.then(() => Promise.reject(new Error('The server ended while it was starting')));
  ended.catch(() => {});
  const lines = createInterface({ input: child.stdout });
  const [line] = (await Promise.race([once(lines, 'line'), ended])) as [string];
  const env: Record<string, string> = { HOME: '/root' };
  for (const pair of line.split(' ')) {
    const [name = '', value = ''] = pair.split(/=(.*)/s);
    env[name] = value;
  }
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    await exited;
  };
  return {
    env,
    msb: (args, input) =>
      command(clients.msb, args, { env, timeoutMs: 180_000, ...(input === undefined ? {} : { input }) }),
    kill: () => end('SIGKILL'),
    [Symbol.asyncDispose]: () => end('SIGINT'),
  };
}
