/** What a program is told of the session that it runs in. */
export interface ProgramSession {
  readonly id: string;
  /** 1 for the first time that the program runs. */
  readonly attempt: number;
  readonly checkpoint: ProgramCheckpoint | null;
  /** The last executions that have an outcome, oldest first. */
  readonly history: readonly PastExecution[];
}

export interface ProgramCheckpoint {
  /** A number or the name of the step that was reached. */
  readonly step: number | string;
  readonly lastTask: string | null;
  readonly context: unknown;
}

export interface PastExecution {
  readonly executionId: string;
  readonly task: string | null;
  readonly status: string;
  /** Null also for one that is too large to be handed on; `truncated` says so. */
  readonly value: unknown;
  readonly truncated?: true;
}
