import type { CustomerId, ExecutionId, SessionId } from './ids.ts';
import type { Selection } from './selection.ts';
import type { ToolProgress } from './tool-error.ts';

export const LANGUAGES = ['typescript', 'python'] as const;

/** What a program is written in. */
export type Language = (typeof LANGUAGES)[number];

/** How a guest came to be: claimed from the warm pool, a restored copy of a template, or a full boot. */
export type BootKind = 'pooled' | 'restored' | 'cold';

/** How strongly a guest is separated from the host: own hardware-backed VM, software-emulated VM, or namespaces only. */
export type Isolation = 'hardware' | 'emulated' | 'process';

/** `completed` and `failed` are the program's own doing; the rest were ended from outside. */
export type ExecutionStatus = 'completed' | 'failed' | 'timed_out' | 'killed' | 'limit_exceeded';

/** What the program threw, with positions in the lines that the author wrote. */
export interface ProgramError {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  /** 1-based line of the author's program, when the error came from there. */
  readonly line?: number;
  /** Further enumerable fields of the error, such as `server`, `tool` and `code` of a ToolError. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** One tool call that the broker answered, or refused. */
export interface ToolCallRecord {
  readonly seq: number;
  readonly server: string;
  readonly tool: string;
  readonly ms: number;
  readonly ok: boolean;
  /** Why not, when `ok` is false. */
  readonly error?: { readonly code: string; readonly message: string };
}

export interface SandboxInfo {
  readonly id: string;
  readonly driver: string;
  readonly isolation: Isolation;
  /** How this execution got its sandbox: `warm` is one that runs already for this customer. */
  readonly boot: 'warm' | BootKind;
  /** Why it did not come from the pool; absent when it did, and when there is no pool. */
  readonly poolBypass?: string;
}

/** Wall-clock milliseconds of each phase. `acquireMs` covers boot and connect; `runMs` starts when the program starts. */
export interface ExecutionTiming {
  readonly selectMs: number;
  readonly generateMs: number;
  readonly acquireMs: number;
  readonly runMs: number;
  readonly totalMs: number;
}

/** The outcome of one program run. Whatever the program did is a result; only infrastructure failures are thrown. */
export interface ExecutionResult {
  readonly executionId: ExecutionId;
  readonly customer: CustomerId;
  readonly sessionId: SessionId;
  readonly status: ExecutionStatus;
  /** What the program returned, as JSON; null when it returned nothing. */
  readonly value: unknown;
  readonly stdout: string;
  readonly stderr: string;
  /** Bytes that the program wrote; larger than the text when it was cut. */
  readonly output: { readonly stdoutBytes: number; readonly stderrBytes: number; readonly truncated: boolean };
  readonly error: ProgramError | null;
  /** Which limit ended the run, for `limit_exceeded` and `timed_out`. */
  readonly limit: 'time' | 'memory' | 'output' | null;
  readonly exitCode: number | null;
  readonly selection: Selection;
  /** Who wrote the program: the caller, or the planner that filled a single tool call from the task. */
  readonly planner: 'none' | 'literal';
  readonly language: Language;
  /** The program as it ran: generated imports and the body. */
  readonly program: string;
  /** What the caller had better know, and that did not keep the program from running. */
  readonly warnings: readonly string[];
  readonly sandbox: SandboxInfo | null;
  readonly calls: readonly ToolCallRecord[];
  readonly timing: ExecutionTiming;
}

/** What happens during a run, in order; `seq` starts at 1 and has no gaps. */
export type ExecutionEvent = { readonly seq: number } & (
  | { readonly type: 'started'; readonly executionId: ExecutionId; readonly sandbox: SandboxInfo }
  | { readonly type: 'stdout' | 'stderr'; readonly text: string }
  | { readonly type: 'tool.called'; readonly call: number; readonly server: string; readonly tool: string }
  /** How far the tool's server says that the call is; at most ten a second of each call. */
  | ({ readonly type: 'tool.progress'; readonly call: number } & ToolProgress)
  | { readonly type: 'tool.returned'; readonly record: ToolCallRecord }
  /** The call waits until somebody decides, and so does the time of the program. */
  | { readonly type: 'approval.required'; readonly approval: PendingApproval }
  | {
      readonly type: 'approval.decided';
      readonly approvalId: string;
      readonly call: number;
      readonly approved: boolean;
    }
  | { readonly type: 'finished'; readonly result: ExecutionResult }
);

/** Where an execution stands: `paused` waits for an approval; `interrupted` was cut off, and can be resumed. */
export type ExecutionState = ExecutionStatus | 'running' | 'paused' | 'interrupted';

/**
 * One event of an execution as its session keeps it: `seq` starts at 1, has no gaps, and is the same whenever and wherever the
 * event is asked for. It is told only when it is on disk.
 */
export type HistoryEvent = {
  readonly seq: number;
  /** ISO 8601, UTC. */
  readonly at: string;
} & (
  | {
      readonly type: 'started';
      readonly executionId: ExecutionId;
      readonly sessionId: SessionId;
      readonly language: Language;
      readonly task: string | null;
    }
  | { readonly type: 'stdout' | 'stderr'; readonly text: string }
  | { readonly type: 'tool.called'; readonly call: number; readonly server: string; readonly tool: string }
  | ({ readonly type: 'tool.returned'; readonly call: number } & Omit<ToolCallRecord, 'seq'>)
  | {
      readonly type: 'approval.required';
      readonly approvalId: string;
      readonly call: number;
      readonly server: string;
      readonly tool: string;
      readonly arguments: unknown;
    }
  | {
      readonly type: 'approval.decided';
      readonly approvalId: string;
      readonly call: number;
      readonly approved: boolean;
      readonly by: string;
      readonly reason: string | null;
    }
  /** The program runs again from its beginning: what it wrote before is void. */
  | { readonly type: 'resumed'; readonly attempt: number }
  /** The last event, unless the execution is resumed. */
  | { readonly type: 'finished'; readonly result: RecordedResult }
);

/** A tool call of an execution that waits until somebody allows or refuses it. */
export interface PendingApproval {
  readonly approvalId: string;
  readonly executionId: ExecutionId;
  readonly sessionId: SessionId;
  /** The number of the call in its execution. */
  readonly call: number;
  readonly server: string;
  readonly tool: string;
  readonly arguments: unknown;
  /** ISO 8601, UTC. */
  readonly requestedAt: string;
}

/** Where an execution stands at the moment. */
export interface ExecutionSummary {
  readonly executionId: ExecutionId;
  readonly sessionId: SessionId;
  readonly state: ExecutionState;
  /** The `seq` of its last event. */
  readonly lastSeq: number;
  /** Those that nobody has decided, oldest first. */
  readonly approvals: readonly PendingApproval[];
  /** Null while it has no outcome. */
  readonly result: RecordedResult | null;
}

/** The outcome of an execution as its session keeps it. */
export interface RecordedResult extends Omit<ExecutionResult, 'status' | 'timing'> {
  /** `interrupted`: what is under the program failed, so it has no outcome; `error` says how. */
  readonly status: ExecutionStatus | 'interrupted';
  readonly timing: ExecutionTiming | null;
}
