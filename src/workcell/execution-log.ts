import type { BrokerOptions } from '../broker/broker.ts';
import { type ApprovalDecision, argumentsHash } from '../core/approval.ts';
import { messageOf } from '../core/errors.ts';
import type { ExecutionEvent, ExecutionResult, PendingApproval, SandboxInfo } from '../core/execution.ts';
import type { ToolProgress } from '../core/tool-error.ts';
import type { SessionEvent } from '../sessions/events.ts';
import { decidedEvent } from '../sessions/execution-approvals.ts';
import { finishedEvent, interruptedEvent } from '../sessions/outcome-event.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import type { ExecutionFacts } from './assemble-result.ts';

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
  readonly #listener: Listener;
  readonly #pending = new Set<Promise<unknown>>();
  /** When each open call last told of its progress. */
  readonly #progressAt = new Map<number, number>();
  #failure: unknown;
  #seq = 0;

  private constructor(session: SessionLog, facts: ExecutionFacts, listener: Listener) {
    this.#session = session;
    this.#facts = facts;
    this.#listener = listener;
    const executionId = facts.id;
    this.brokerHooks = {
      onCalled: ({ seq: call, server, tool }, sent) => {
        this.#append({ type: 'tool.called', executionId, call, server, tool, arguments: sent });
        this.#tell({ type: 'tool.called', call, server, tool });
      },
      // For whoever watches; history is not made of it.
      onProgress: ({ seq: call }, progress) => {
        if (this.#isSoon(call, progress)) return;
        this.#tell({ type: 'tool.progress', call, ...progress });
      },
      onReturned: (record) => {
        const { seq: call, ok, ms, error } = record;
        this.#progressAt.delete(call);
        this.#append({ type: 'tool.returned', executionId, call, ok, ms, ...(error === undefined ? {} : { error }) });
        this.#tell({ type: 'tool.returned', record });
      },
    };
  }

  /** Resolves when the start is on disk: what is about to run is known before it runs. */
  static async start(
    session: SessionLog,
    facts: ExecutionFacts & { readonly task: string | null },
    listener: Listener,
  ): Promise<ExecutionLog> {
    const { id: executionId, task, program, language, selection, planner, warnings } = facts;
    const type = 'execution.started';
    await session.append({ type, executionId, task, language, program, selection, planner, warnings });
    return new ExecutionLog(session, facts, listener);
  }

  started(sandbox: SandboxInfo): void {
    this.#tell({ type: 'started', executionId: this.#facts.id, sandbox });
  }

  output(stream: 'stdout' | 'stderr', text: string): void {
    this.#append({ type: 'output', executionId: this.#facts.id, stream, text });
    this.#tell({ type: stream, text });
  }

  /** Resolves when the request is on disk; before that nobody is asked. */
  async approvalRequested(approval: PendingApproval): Promise<void> {
    const { approvalId, executionId, call, server, tool, arguments: args } = approval;
    const type = 'approval.requested';
    const hash = argumentsHash(args);
    this.#append({ type, executionId, call, approvalId, server, tool, arguments: args, argumentsHash: hash });
    await this.#settled();
    this.#tell({ type: 'approval.required', approval });
  }

  /** Resolves when the decision is on disk; before that its call does not leave. */
  async approvalDecided({ approvalId, call }: PendingApproval, decision: ApprovalDecision): Promise<void> {
    this.#append(decidedEvent({ executionId: this.#facts.id, approvalId, call }, decision));
    await this.#settled();
    this.#tell({ type: 'approval.decided', approvalId, call, approved: decision.approved });
  }

  /** The hub, but a call leaves the host only when it is on disk that it was made. */
  recordCalls(hub: Hub): Hub {
    return {
      callTool: async (call) => {
        await this.#settled();
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

  /** Records that what is under the program failed; gives back the failure. */
  async interrupt(error: unknown): Promise<unknown> {
    await this.#settled().catch(() => {});
    await this.#session.append(interruptedEvent(this.#facts.id, error)).catch(() => {});
    return error;
  }

  #append(event: SessionEvent): void {
    const appended = this.#session.append(event).catch((error) => {
      this.#failure ??= error;
    });
    this.#pending.add(appended);
    void appended.then(() => this.#pending.delete(appended));
  }

  /** Resolves when all that was recorded so far is on disk; throws when something could not be. */
  async #settled(): Promise<void> {
    await Promise.all(this.#pending);
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
