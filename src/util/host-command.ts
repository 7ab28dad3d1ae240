import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { WorkcellError } from '../core/errors.ts';
import { errnoOf } from './errno.ts';

/** Administrators' tools are not in every user's PATH, and their words must not depend on who runs them. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };

const run = promisify(execFile);

export interface HostCommandOptions {
  /** The Debian package that brings the command. */
  readonly package: string;
  /** Milliseconds after which it is killed. Default 60,000. */
  readonly timeoutMs?: number;
  /** Exit statuses other than 0 that are no failure. */
  readonly accept?: readonly number[];
}

/**
 * Runs a tool of the host and gives what it printed. Throws `unsupported` when it is not installed, and `storage_failed`
 * otherwise: what it said is in the `cause` only, because it may name host paths.
 */
export async function hostCommand(file: string, args: readonly string[], options: HostCommandOptions): Promise<string> {
  const { timeoutMs = 60_000, accept = [] } = options;
  try {
    const { stdout } = await run(file, [...args], { env: ENVIRONMENT, timeout: timeoutMs, killSignal: 'SIGKILL' });
    return stdout.trim();
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') {
      const fix = `install the package "${options.package}"`;
      throw new WorkcellError('unsupported', `The command "${file}" is not on this host: ${fix}`, { cause });
    }
    const { code, signal, stdout } = cause as Partial<Record<'code' | 'signal' | 'stdout', unknown>>;
    if (typeof code === 'number' && accept.includes(code)) return String(stdout).trim();
    const end = signal === 'SIGKILL' ? `did not end within ${timeoutMs / 1000} s` : `failed with status ${code}`;
    throw new WorkcellError('storage_failed', `The command "${file}" ${end}`, { cause });
  }
}
