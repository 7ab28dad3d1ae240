import { type ApprovalDecision, isApprovalOf } from '../core/approval.ts';
import type { SessionEvent, StoredEvent } from './events.ts';

type Event<Type extends SessionEvent['type']> = Extract<SessionEvent, { readonly type: Type }>;
type Kept<Stored> = Stored & Pick<StoredEvent, 'at' | 'truncated'>;

/** One approval that an execution has asked for. */
export interface RecordedApproval {
  readonly requested: Kept<Event<'approval.requested'>>;
  readonly decided: Event<'approval.decided'> | undefined;
  /**
   * `open` waits for a decision; `ready` has one that the program has not been told of, because it does not run; `used` has
   * one, and its call may have left; `void` will never be told, because the call or the execution has ended without it.
   */
  readonly state: 'open' | 'ready' | 'used' | 'void';
}

/** How the approvals of one execution stand, from its events one by one. */
export class ExecutionApprovals {
  readonly #all = new Map<string, RecordedApproval>();

  /** All that were asked for, oldest first. */
  get all(): readonly RecordedApproval[] {
    return [...this.#all.values()];
  }

  /** Whether an execution that nobody runs goes on when one is decided, or when its program runs again with the decision. */
  get isPausing(): boolean {
    return this.all.some(({ state }) => state === 'open' || state === 'ready');
  }

  /** Takes the next event of the execution. */
  push(event: Kept<SessionEvent>): void {
    switch (event.type) {
      case 'approval.requested':
        // A log that came from elsewhere must not pass its own requests off as those of another execution.
        if (!isApprovalOf(event.executionId, event.approvalId)) break;
        this.#all.set(event.approvalId, { requested: event, decided: undefined, state: 'open' });
        break;
      case 'approval.decided': {
        const approval = this.#all.get(event.approvalId);
        if (approval?.state !== 'open') break;
        const state = event.waiting === false ? 'ready' : 'used';
        this.#all.set(event.approvalId, { ...approval, decided: event, state });
        break;
      }
      case 'tool.returned':
        this.#end(({ requested }) => requested.call === event.call);
        break;
      // From here on the program may come to the call, and the call may leave.
      case 'execution.resumed':
        this.#end(({ state }) => state === 'ready' || !event.replay);
        break;
      case 'execution.finished':
        this.#end(() => true);
        break;
      default:
    }
  }

  #end(isEnded: (approval: RecordedApproval) => boolean): void {
    for (const [id, approval] of this.#all) {
      if (isEnded(approval))
        this.#all.set(id, { ...approval, state: approval.decided === undefined ? 'void' : 'used' });
    }
  }
}

/** Records a decision. */
export function decidedEvent(
  approval: Pick<Event<'approval.requested'>, 'executionId' | 'approvalId' | 'call'>,
  { approved, by, reason }: ApprovalDecision,
): Event<'approval.decided'> {
  const { executionId, approvalId, call } = approval;
  return { type: 'approval.decided', executionId, approvalId, call, approved, by, reason: reason ?? null };
}

/** The decision on an approval, as it was made; undefined while there is none. */
export function decisionOf({ decided }: RecordedApproval): ApprovalDecision | undefined {
  if (decided === undefined) return undefined;
  const { approved, by, reason } = decided;
  return { approved, by, ...(reason === null ? {} : { reason }) };
}
