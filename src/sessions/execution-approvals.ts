import type { ApprovalDecision } from '../core/approval.ts';
import type { SessionEvent } from './events.ts';

type Event<Type extends SessionEvent['type']> = Extract<SessionEvent, { readonly type: Type }>;
type Kept<Stored> = Stored & { readonly at: string };

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

interface Draft {
  readonly requested: RecordedApproval['requested'];
  decided: RecordedApproval['decided'];
  state: RecordedApproval['state'];
}

/** How the approvals of one execution stand, oldest first. `events`: those of the execution, in their order. Pure. */
export function executionApprovals(
  events: Iterable<SessionEvent & { readonly at: string }>,
): readonly RecordedApproval[] {
  const approvals = new Map<string, Draft>();
  const ofCall = (call: number) => [...approvals.values()].filter(({ requested }) => requested.call === call);
  for (const event of events) {
    switch (event.type) {
      case 'approval.requested':
        approvals.set(event.approvalId, { requested: event, decided: undefined, state: 'open' });
        break;
      case 'approval.decided': {
        const approval = approvals.get(event.approvalId);
        if (approval?.state !== 'open') break;
        approval.decided = event;
        approval.state = event.waiting === false ? 'ready' : 'used';
        break;
      }
      case 'tool.returned':
        for (const approval of ofCall(event.call)) end(approval);
        break;
      // From here on the program may come to the call, and the call may leave.
      case 'execution.resumed':
        for (const approval of approvals.values()) {
          if (approval.state === 'ready' && event.replay) approval.state = 'used';
          else if (!event.replay) end(approval);
        }
        break;
      case 'execution.finished':
        for (const approval of approvals.values()) end(approval);
        break;
      default:
    }
  }
  return [...approvals.values()];
}

/** Records a decision. */
export function decidedEvent(
  approval: Pick<Event<'approval.requested'>, 'executionId' | 'approvalId' | 'call'>,
  { approved, by, reason }: ApprovalDecision,
): Event<'approval.decided'> {
  const { executionId, approvalId, call } = approval;
  return { type: 'approval.decided', executionId, approvalId, call, approved, by, reason: reason ?? null };
}

function end(approval: Draft): void {
  approval.state = approval.decided === undefined ? 'void' : 'used';
}
