import { WorkcellError } from '../core/errors.ts';
import type {
  ExecutionState,
  HistoryEvent,
  PendingApproval,
  ProgramError,
  RecordedResult,
  ToolCallRecord,
} from '../core/execution.ts';
import type { CustomerId, ExecutionId, SessionId } from '../core/ids.ts';
import type { Selection } from '../core/selection.ts';
import type { StoredEvent } from './events.ts';
import { ExecutionApprovals, type RecordedApproval } from './execution-approvals.ts';

export type StartedEvent = Extract<StoredEvent, { readonly type: 'execution.started' }>;
type FinishedEvent = Extract<StoredEvent, { readonly type: 'execution.finished' }>;
type ExecutionStoredEvent = Extract<StoredEvent, { readonly executionId: string }>;
type Told = HistoryEvent extends infer Event ? (Event extends HistoryEvent ? Omit<Event, 'seq' | 'at'> : never) : never;

export interface HistoryOwner {
  readonly customer: CustomerId;
  readonly sessionId: SessionId;
  readonly executionId: ExecutionId;
}

/**
 * What a session tells of one execution, built from its events one by one: the same events give the same history, wherever and
 * however often they are read.
 */
export class ExecutionHistory {
  readonly owner: HistoryOwner;
  readonly #called = new Map<number, Pick<ToolCallRecord, 'server' | 'tool'>>();
  readonly #calls = new Map<number, ToolCallRecord>();
  readonly #approvals = new ExecutionApprovals();
  readonly #texts = { stdout: [] as string[], stderr: [] as string[] };
  #started: StartedEvent | undefined;
  #finished: FinishedEvent | undefined;
  #attempt = 1;
  #seq = 0;

  constructor(owner: HistoryOwner) {
    this.owner = owner;
  }

  /** Throws `storage_failed` when its start is not there. */
  get started(): StartedEvent {
    if (this.#started === undefined) throw this.#broken();
    return this.#started;
  }

  /** Its last end; undefined while it has none, also after it was resumed. */
  get finished(): FinishedEvent | undefined {
    return this.#finished;
  }

  /** The `seq` of the last event; 0 before the first. */
  get lastSeq(): number {
    return this.#seq;
  }

  /** How often its program was started. */
  get attempt(): number {
    return this.#attempt;
  }

  /** Those that nobody has decided; none once the execution has an outcome. */
  get approvals(): readonly PendingApproval[] {
    return this.askedApprovals.flatMap((each) => (each.state === 'open' ? [this.#pending(each)] : []));
  }

  /** All that it has asked for, oldest first. */
  get askedApprovals(): readonly RecordedApproval[] {
    return this.#approvals.all;
  }

  /** The calls that were answered, also with a refusal, in the order in which they were made. */
  get calls(): readonly ToolCallRecord[] {
    return [...this.#calls.values()].sort((a, b) => a.seq - b.seq);
  }

  /** What it has written since its program was last started, as far as it is kept. */
  get output(): Pick<RecordedResult, 'stdout' | 'stderr'> {
    return { stdout: this.#texts.stdout.join(''), stderr: this.#texts.stderr.join('') };
  }

  /** `isHeld`: whether a process runs it; one that nobody does, and that has no end, was cut off. */
  state(isHeld: boolean): ExecutionState {
    if (this.#finished !== undefined) return this.#finished.status;
    if (this.#approvals.isPausing) return 'paused';
    return isHeld ? 'running' : 'interrupted';
  }

  /** Takes the next event of the session, and gives it as clients see it; undefined for one of something else. */
  push(event: StoredEvent): HistoryEvent | undefined {
    if (!('executionId' in event) || event.executionId !== this.owner.executionId) return undefined;
    this.#seq += 1;
    this.#approvals.push(event);
    return { seq: this.#seq, at: event.at, ...this.#tell(event) };
  }

  /** The outcome; undefined while there is none. */
  result(): RecordedResult | undefined {
    const finished = this.#finished;
    if (finished === undefined) return undefined;
    const { status, value, error, limit, exitCode, output, sandbox, timing, truncated } = finished;
    const { selection, planner, language, program, warnings = [] } = this.started;
    const isKept = truncated?.includes('value') !== true;
    return {
      ...this.owner,
      status,
      value,
      ...this.output,
      output,
      error: error === null ? null : programError(error),
      limit,
      exitCode,
      selection: asWritten<Selection>(selection),
      planner,
      language,
      program,
      warnings: isKept ? warnings : [...warnings, 'The value is larger than what a session keeps, and is not shown'],
      sandbox: asWritten<RecordedResult['sandbox']>(sandbox),
      calls: this.calls,
      timing,
    };
  }

  #tell(event: ExecutionStoredEvent): Told {
    switch (event.type) {
      case 'execution.started': {
        this.#started = event;
        const { language, task } = event;
        const { executionId, sessionId } = this.owner;
        return { type: 'started', executionId, sessionId, language, task };
      }
      case 'output':
        this.#texts[event.stream].push(event.text);
        return { type: event.stream, text: event.text };
      case 'tool.called': {
        const { call, server, tool } = event;
        this.#called.set(call, { server, tool });
        return { type: 'tool.called', call, server, tool };
      }
      case 'tool.returned': {
        const { seq: call, ...record } = this.#record(event);
        return { type: 'tool.returned', call, ...record };
      }
      case 'approval.requested': {
        const { call, approvalId, server, tool, arguments: args } = event;
        return { type: 'approval.required', approvalId, call, server, tool, arguments: args };
      }
      case 'approval.decided': {
        const { approvalId, call, approved, by, reason } = event;
        return { type: 'approval.decided', approvalId, call, approved, by, reason };
      }
      case 'execution.resumed':
        this.#attempt = event.attempt;
        this.#finished = undefined;
        this.#texts.stdout.length = 0;
        this.#texts.stderr.length = 0;
        return { type: 'resumed', attempt: event.attempt };
      case 'execution.finished': {
        this.#finished = event;
        const result = this.result();
        if (result === undefined) throw this.#broken();
        return { type: 'finished', result };
      }
      default:
        return event satisfies never;
    }
  }

  #record(event: Extract<StoredEvent, { readonly type: 'tool.returned' }>): ToolCallRecord {
    const { call, ok, ms, error } = event;
    const called = this.#called.get(call);
    if (called === undefined) throw this.#broken();
    const why = error === undefined ? {} : { error: { code: error.code, message: error.message } };
    const record = { seq: call, ...called, ms, ok, ...why };
    this.#calls.set(call, record);
    return record;
  }

  #pending({ requested }: RecordedApproval): PendingApproval {
    const { approvalId, call, server, tool, arguments: args, at } = requested;
    const { executionId, sessionId } = this.owner;
    return { approvalId, executionId, sessionId, call, server, tool, arguments: args, requestedAt: at };
  }

  #broken(): WorkcellError {
    const { sessionId, executionId } = this.owner;
    return new WorkcellError(
      'storage_failed',
      `Session "${sessionId}" lacks events of the execution "${executionId}"; what is left of it is in the session's log`,
    );
  }
}

/** The history of one execution, from the events of its session. */
export async function readHistory(owner: HistoryOwner, events: AsyncIterable<StoredEvent>): Promise<ExecutionHistory> {
  const history = new ExecutionHistory(owner);
  for await (const event of events) history.push(event);
  return history;
}

function programError({ fields, line, ...error }: NonNullable<FinishedEvent['error']>): ProgramError {
  return {
    ...error,
    ...(line === undefined ? {} : { line }),
    // Null: they were too large to keep.
    ...(fields === undefined || fields === null ? {} : { fields }),
  };
}

/** What was read as JSON has no field that is undefined, which the types of schemas cannot tell. */
function asWritten<T>(value: unknown): T {
  return value as T;
}
