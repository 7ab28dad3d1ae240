import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

export interface Child {
  readonly pid: number;
  readonly lines: Interface;
  /** Gives it a line to read. */
  say(line: string): void;
  /** The exit code, or null when a signal ended the process. */
  readonly exit: Promise<number | null>;
  /** Ends the process with SIGKILL and waits until it is gone. */
  kill(): Promise<void>;
}

/** Runs a TypeScript file in a process of its own, which does not outlive the test. */
export function startChild(script: URL, args: readonly string[]): Child {
  return watch(spawn(process.execPath, [fileURLToPath(script), ...args], { stdio: ['pipe', 'pipe', 'inherit'] }));
}

/** Like {@link startChild}, but the process, until it lifts that limit, can make no file of more than about 100 KB. */
export function startLimited(script: URL, args: readonly string[]): Child {
  const command = ['-c', 'ulimit -S -f 100; exec "$@"', 'sh', process.execPath, fileURLToPath(script), ...args];
  return watch(spawn('sh', command, { stdio: ['pipe', 'pipe', 'inherit'] }));
}

function watch(process: ChildProcessByStdio<Writable, Readable, null>): Child {
  const exit = once(process, 'exit').then(([code]) => code as number | null);
  const kill = async () => {
    process.kill('SIGKILL');
    await exit;
  };
  onTestFinished(kill);
  if (process.pid === undefined) throw new Error('The child process did not start');
  const say = (line: string) => void process.stdin.write(`${line}\n`);
  return { pid: process.pid, lines: createInterface(process.stdout), say, exit, kill };
}

/** The next line that a child prints. */
export async function nextLine(child: Child): Promise<string> {
  const [line] = await once(child.lines, 'line');
  return String(line);
}
