import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { homedir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { isRunning } from './processes.ts';
import type { CommandOutcome } from './stock-clients.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface CliOptions {
  /** The folder to run in. */
  readonly cwd: string;
  /** On top of what finds the home, the cache and programs; nothing else is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  /** What standard input holds; default nothing. */
  readonly input?: string;
}

/** The built command, while it runs. It does not outlive the test. */
export interface RunningCli {
  readonly pid: number;
  /** What it has written so far. */
  stdout(): string;
  stderr(): string;
  /** Reads no more of its stdout, as `head` does at its end. */
  leaveStdout(): void;
  readonly ended: Promise<CommandOutcome>;
  /** Sends a signal to it alone, or to its whole process group as Ctrl-C in a terminal does. */
  signal(name: NodeJS.Signals, to?: 'process' | 'group'): void;
}

export function startCli(args: readonly string[], { cwd, env = {}, input = '' }: CliOptions): RunningCli {
  const inherited = { PATH: process.env['PATH'], HOME: homedir(), XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'] };
  const child = spawn(process.execPath, [MAIN, ...args], { cwd, env: { ...inherited, ...env }, detached: true });
  const { pid } = child;
  if (pid === undefined) throw new Error('The command did not start');
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
    });
  }
  // A command that fails before it reads its input closes the pipe.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const ended = once(child, 'close').then(([code]): CommandOutcome => ({ ...said, code: code as number | null }));
  onTestFinished(async () => {
    if (await isRunning(pid)) process.kill(-pid, 'SIGKILL');
    await ended;
  });
  return {
    pid,
    stdout: () => said.stdout,
    stderr: () => said.stderr,
    leaveStdout: () => child.stdout.destroy(),
    ended,
    signal: (name, to = 'process') => process.kill(to === 'group' ? -pid : pid, name),
  };
}

/** Runs the built command to its end. */
export function cli(args: readonly string[], options: CliOptions): Promise<CommandOutcome> {
  return startCli(args, options).ended;
}
