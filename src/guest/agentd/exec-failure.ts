import type { ExecFailed } from '../../protocol/agent-messages.ts';
import { errnoNameOf, errnoOf, messageOfError } from './errno.ts';

/** Why a command was not started, in the words of `core.exec.failed`. */
export class ExecFailure extends Error {
  readonly payload: ExecFailed;

  constructor({ kind, stage, message, error }: ExecFailureOptions) {
    super(message);
    this.payload = {
      kind,
      errno: errnoOf(error) ?? null,
      errno_name: errnoNameOf(error) ?? null,
      message,
      stage,
    };
  }
}

export interface ExecFailureOptions {
  readonly kind: ExecFailed['kind'];
  /** The step that failed, such as `execvp` or `setrlimit(RLIMIT_NOFILE)`. */
  readonly stage: string;
  readonly message: string;
  /** The failed system call, if it was one. */
  readonly error?: unknown;
}

/** The failure of a step; what its errno means is asked only of the last one, which becomes the command. */
export function stepFailure(command: string, step: Step, error: unknown): ExecFailure {
  const kind = step.kind ?? spawnKind(error);
  return new ExecFailure({ kind, stage: step.stage, error, message: `spawn "${command}": ${messageOfError(error)}` });
}

export interface Step {
  readonly stage: string;
  /** Undefined for what depends on the errno. */
  readonly kind: ExecFailed['kind'] | undefined;
}

export const EXEC_STEP: Step = { stage: 'execvp', kind: undefined };

const KINDS: Readonly<Record<string, ExecFailed['kind']>> = {
  ENOENT: 'not_found',
  ENOTDIR: 'bad_cwd',
  EACCES: 'permission_denied',
  EPERM: 'permission_denied',
  ENOEXEC: 'not_executable',
  EISDIR: 'not_executable',
  ETXTBSY: 'not_executable',
  E2BIG: 'bad_args',
  ELOOP: 'bad_args',
  ENAMETOOLONG: 'bad_args',
  EFAULT: 'bad_args',
  EMFILE: 'resource_limit',
  ENFILE: 'resource_limit',
  EAGAIN: 'resource_limit',
  ENOMEM: 'out_of_memory',
};

function spawnKind(error: unknown): ExecFailed['kind'] {
  // What cannot be given to a system call at all: a NUL in a text, or more than fits.
  if (error instanceof RangeError || error instanceof TypeError) return 'bad_args';
  return KINDS[errnoNameOf(error) ?? ''] ?? 'other';
}
