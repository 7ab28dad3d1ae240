import type { BootKind, SandboxInfo } from '../core/execution.ts';
import type { Deadline } from '../util/deadline.ts';
import type { ExecuteProgram } from './program-executor.ts';
import type { RunnerSession } from './runner-session.ts';

/** How sandboxes are got from one kind of server. */
export interface SandboxOpener {
  /** Resolves with a new sandbox in which a runner waits for programs. Leaves nothing behind when it rejects. */
  open(request: Pick<ExecuteProgram, 'customer' | 'mounts'>, deadline: Deadline): Promise<OpenSandbox>;
}

export interface OpenSandbox {
  readonly info: SandboxInfo & { readonly boot: BootKind };
  readonly runner: RunnerSession;
  /** Tells the server that the sandbox is in use. */
  touch(): void;
  /** As `ProgramClock.readCpu`; where the server may tell. */
  readCpu?(): Promise<number | undefined>;
  /** Ends it with everything in it; never rejects. */
  close(): Promise<void>;
}
