import type { ToolOutcome } from './tool-error.ts';

/** One tool call of an execution, as its session has it. */
export interface LoggedCall {
  /** Its number in the execution. */
  readonly call: number;
  readonly server: string;
  readonly tool: string;
  /** Undefined when they were too large to keep. */
  readonly arguments: unknown;
  /** Milliseconds from the beginning of its attempt. */
  readonly afterMs: number;
  /** What the program was given, and after how long; undefined when the log does not tell. */
  readonly returned: { readonly outcome: ToolOutcome; readonly ms: number } | undefined;
  /** Whether it may have reached its server: not while it waits for an approval. */
  readonly mayHaveLeft: boolean;
}
