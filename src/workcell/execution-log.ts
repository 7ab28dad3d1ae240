import type { BrokerOptions } from '../broker/broker.ts';
import type { ApprovalDecision } from '../core/approval.ts';
import { messageOf } from '../core/errors.ts';
import type { ExecutionEvent, ExecutionResult, PendingApproval, SandboxInfo } from '../core/execution.ts';
import { type ToolOutcome, type ToolProgress, toolFailed } from '../core/tool-error.ts';
import type { SessionEvent } from '../sessions/events.ts';
import { decidedEvent } from '../sessions/execution-approvals.ts';
import { finishedEvent, interruptedEvent, killedEvent } from '../sessions/outcome-event.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import type { ExecutionFacts } from './assemble-result.ts';
import type { ExecuteRequest } from './execute-request.ts';
import type { LiveExecution } from './live-execution.ts';

/** An approval that is to be asked for. */
export type AskedApproval = Omit<PendingApproval, 'requestedAt'>;

type Hub = BrokerOptions['hub'];
type Listener = ((event: ExecutionEvent) => void) | undefined;
type Unnumbered = ExecutionEvent extends infer Event
  ? Event extends ExecutionEvent
    ? Omit<Event, 'seq'>
    : never
  : never;

const PROGRESS_EVERY_MS = 100;

/** Tells what happens during one execution to two: the session, durably, and the caller, at once. */
export class ExecutionLog {
  readonly brokerHooks: Required<Pick<BrokerOptions, 'onCalled' | 'onReturned' | 'onProgress'>>;
  readonly #session: SessionLog;
  readonly #facts: ExecutionFacts;
  readonly #live: LiveExecution;
  readonly #listener: Listener;
  /** Of all that was recorded so far. */
  #recorded: Promise<unknown> = Promise.resolve();
  /** When each open call last told of its progress. */
  readonly #progressAt = new Map<number, number>();
  readonly #failed = new AbortController();
  #failure: unknown;
  #seq = 0;

  private constructor(session: SessionLog, facts: ExecutionFacts, live: LiveExecution, listener: Listener) {
    this.#session = session;
    this.#facts = facts;
    this.#live = live;
    this.#listener = listener;
    const executionId = facts.id;
    this.brokerHooks = {
      onCalled: ({ seq: call, server, tool }, sent) => {
        void this.#append({ type: 'tool.called', executionId, call, server, tool, arguments: sent });
        this.#tell({ type: 'tool.called', call, server, tool });
      },
      // For whoever watches; history is not made of it.
      onProgress: ({ seq: call }, progress) => {
        if (this.#isSoon(call, progress)) return;
        this.#tell({ type: 'tool.progress', call, ...progress });
      },
      onReturned: (record, outcome) => {
        const { seq: call, ms } = record;
        this.#progressAt.delete(call);
        const onDisk = this.#append({ type: 'tool.returned', executionId, call, ms, ...recordedOutcome(outcome) });
        this.#tell({ type: 'tool.returned', record });
        return onDisk;
      },
    };
  }

  /** Resolves when the start is on disk: what is about to run is known before it runs. */
  static async start(
    session: SessionLog,
    facts: ExecutionFacts,
    request: ExecuteRequest,
    live: LiveExecution,
  ): Promise<ExecutionLog> {
    const { id: executionId, program, language, selection, planner, warnings } = facts;
    const { task = null, code = null, tools = null, timeoutMs = null, typeCheck = false, limits, onEvent } = request;
    await session.append({
      type: 'execution.started',
      executionId,
      task,
      language,
      program,
      selection,
      planner,
      warnings,
      request: { code, tools, timeoutMs, typeCheck, ...(limits === undefined ? {} : { limits }) },
    });
    return new ExecutionLog(session, facts, live, onEvent);
  }

  /** As {@link start}, for a program that runs again. */
  static async resume(
    session: SessionLog,
    { facts, attempt, replay }: { readonly facts: ExecutionFacts; readonly attempt: number; readonly replay: boolean },
    live: LiveExecution,
  ): Promise<ExecutionLog> {
    await session.append({ type: 'execution.resumed', executionId: facts.id, attempt, replay });
    return new ExecutionLog(session, facts, live, undefined);
  }

  /** Fires when something cannot be recorded: a program that nobody can tell of must not go on. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  started(sandbox: SandboxInfo): void {
    this.#tell({ type: 'started', executionId: this.#facts.id, sandbox });
  }

  output(stream: 'stdout' | 'stderr', text: string): void {
    void this.#append({ type: 'output', executionId: this.#facts.id, stream, text });
    this.#tell({ type: stream, text });
  }

  /** Whether it got to the disk, where it is when this resolves. */
  checkpoint(checkpoint: Pick<Checkpoint, 'step' | 'lastTask' | 'context'>): Promise<boolean> {
    const { step, lastTask, context } = checkpoint;
    return this.#append({ type: 'checkpoint.set', step, lastTask, context });
  }

  /** Resolves when the request is on disk, with when that was; before that nobody is asked. */
  async approvalRequested(asked: AskedApproval): Promise<PendingApproval> {
    const { sessionId: _, ...request } = asked;
    const stored = this.#session.append({ type: 'approval.requested', ...request });
    void this.#track(stored);
    await this.#settled();
    const approval = { ...asked, requestedAt: (await stored).at };
    this.#tell({ type: 'approval.required', approval });
    return approval;
  }

  /** Resolves when the decision is on disk; before that its call does not leave. */
  async approvalDecided(approval: PendingApproval, decision: ApprovalDecision): Promise<void> {
    void this.#append(decidedEvent(approval, decision));
    await this.#settled();
    const { approvalId, call } = approval;
    this.#tell({ type: 'approval.decided', approvalId, call, approved: decision.approved });
  }

  /** The hub, but a call leaves the host only when it is on disk that it was made. */
  recordCalls(hub: Hub): Hub {
    return {
      callTool: async (call) => {
        try {
          await this.#settled();
        } catch {
          return toolFailed(call, { code: 'cancelled', message: 'The run is over: what it does cannot be recorded' });
        }
        return hub.callTool(call);
      },
    };
  }

  async finish(result: ExecutionResult): Promise<ExecutionResult> {
    await this.#settled();
    await this.#session.append(finishedEvent(result));
    this.#tell({ type: 'finished', result });
    return result;
  }

  /**
   * Records that what is under the program failed, or was still being made when it was cancelled, unless an approval is open: then
   * the execution is paused, and goes on when that is decided. Gives back the failure.
   */
  async interrupt(error: unknown): Promise<unknown> {
    await this.#settled().catch(() => {});
    const { history } = this.#live;
    if (history !== undefined && history.approvals.length > 0) return error;
    const { id } = this.#facts;
    // What was cancelled, perhaps before it had a sandbox, is not to be resumed.
    const end = this.#live.signal.aborted
      ? killedEvent(id, history?.output)
      : interruptedEvent(id, error, history?.output);
    await this.#session.append(end).catch(() => {});
    return error;
  }

  /** Whether it got to the disk. */
  #append(event: SessionEvent): Promise<boolean> {
    return this.#track(this.#session.append(event));
  }

  #track(appending: Promise<unknown>): Promise<boolean> {
    const appended = appending.then(
      () => true,
      (error) => {
        this.#failure ??= error;
        this.#failed.abort();
        return false;
      },
    );
    this.#recorded = this.#recorded.then(() => appended);
    return appended;
  }

  /** Resolves when all that was recorded so far is on disk; throws when something could not be. */
  async #settled(): Promise<void> {
    await this.#recorded;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Whether the call has told of its progress a moment ago; its last word is always passed on. */
  #isSoon(call: number, { progress, total }: ToolProgress): boolean {
    const now = performance.now();
    const last = this.#progressAt.get(call) ?? Number.NEGATIVE_INFINITY;
    if (now - last < PROGRESS_EVERY_MS && progress !== total) return true;
    this.#progressAt.set(call, now);
    return false;
  }

  #tell(event: Unnumbered): void {
    this.#seq += 1;
    try {
      this.#listener?.({ ...event, seq: this.#seq } as ExecutionEvent);
    } catch (error) {
      // The caller's mistake must not look like the program's, or the sandbox's.
      process.emitWarning(`onEvent threw: ${messageOf(error)}`, 'WorkcellWarning');
    }
  }
}

function recordedOutcome(outcome: ToolOutcome): Pick<Returned, 'ok' | 'value' | 'error'> {
  if (outcome.ok) return { ok: true, value: outcome.value };
  const { code, message, retryable, details } = outcome.error;
  return { ok: false, error: { code, message, retryable, details } };
}

type Returned = Extract<SessionEvent, { readonly type: 'tool.returned' }>;
type Checkpoint = Extract<SessionEvent, { readonly type: 'checkpoint.set' }>;
