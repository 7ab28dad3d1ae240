import type { SandboxInfo } from '../core/execution.ts';
import type { CreateSandboxInput } from '../protocol/rest.ts';
import type { ProgramOutcome } from './program-outcome.ts';
import type { ProgramToRun, RunHandlers } from './runner-session.ts';

/** Runs programs of customers in sandboxes, whatever server has them. Dispose it to end the sandboxes that it has started. */
export interface ProgramExecutor extends AsyncDisposable {
  /** Whatever the program does is in the result; rejects when there is no sandbox for it, or it is lost on the way. */
  execute(request: ExecuteProgram): Promise<ProgramRun>;
  /**
   * Ends the sandbox that is kept for a customer; one without is fine. Throws `busy` while a program runs in it; with `force`,
   * that is lost with it.
   */
  release(customer: string, options?: ReleaseOptions): Promise<void>;
}

export interface ReleaseOptions {
  readonly force?: boolean | undefined;
}

export interface ExecuteProgram {
  /** Whose sandbox; programs of one customer share it, nobody else ever does. */
  readonly customer: string;
  readonly mounts: NonNullable<CreateSandboxInput['mounts']>;
  /** Called before a sandbox is started for the customer; what it gives is disposed of when that has ended. */
  readonly hold?: (() => Promise<AsyncDisposable>) | undefined;
  readonly program: ProgramToRun;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onSandbox?: (sandbox: SandboxInfo) => void;
  /** Given the program's time when that begins to run. */
  readonly onClock?: (clock: ProgramClock) => void;
  readonly handlers: RunHandlers;
}

/** The time of one running program. */
export interface ProgramClock {
  /** Lets the bound on it stand still, as `Deadline.pause` does. */
  readonly pause: () => () => void;
  /** The CPU milliseconds that its sandbox has used, as the host has measured them; undefined where the server does not tell. Never rejects. */
  readonly readCpu: () => Promise<number | undefined>;
}

export interface ProgramRun extends ProgramOutcome {
  readonly sandbox: SandboxInfo;
  readonly stdout: string;
  readonly stderr: string;
  readonly output: { readonly stdoutBytes: number; readonly stderrBytes: number; readonly truncated: boolean };
  readonly acquireMs: number;
  readonly runMs: number;
}
