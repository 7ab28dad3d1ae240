import type { CheckedCall } from '../broker/broker.ts';
import type { ApprovalDecision } from '../core/approval.ts';
import { canonicalJson } from '../core/canonical-json.ts';
import type { PendingApproval } from '../core/execution.ts';
import { toolName } from '../core/tool.ts';
import type { ApprovalFolder } from '../sessions/approval-folder.ts';
import { decisionOf, type RecordedApproval } from '../sessions/execution-approvals.ts';

/** An approval that an execution has asked for before its program runs again. */
export interface EarlierApproval {
  readonly approval: PendingApproval;
  readonly decision: ApprovalDecision | undefined;
}

interface Kept {
  readonly approval: PendingApproval;
  decision: ApprovalDecision | undefined;
  /** Whether it was approved since the program runs again, and its call has not come yet. */
  isGranted: boolean;
}

/** What a program that runs again has asked for before, until it comes to the same calls. */
export class EarlierApprovals {
  readonly #all: readonly Kept[];
  readonly #folder: ApprovalFolder;

  constructor(
    { executionId, sessionId }: Pick<PendingApproval, 'executionId' | 'sessionId'>,
    asked: readonly RecordedApproval[],
    folder: ApprovalFolder,
  ) {
    this.#folder = folder;
    this.#all = asked.flatMap((each) => {
      if (each.state === 'void') return [];
      const { approvalId, call, server, tool, arguments: args, at: requestedAt } = each.requested;
      const approval = { approvalId, executionId, sessionId, call, server, tool, arguments: args, requestedAt };
      return [{ approval, decision: decisionOf(each), isGranted: false }];
    });
  }

  /** What was asked for this very call: what whoever decides was shown is what counts. */
  find(call: CheckedCall): EarlierApproval | undefined {
    // The last, since a call whose approval was used up is asked for anew.
    return this.#all.findLast(
      ({ approval }) =>
        approval.call === call.seq &&
        toolName(approval) === toolName(call) &&
        canonicalJson(approval.arguments) === canonicalJson(call.arguments),
    );
  }

  /** The one with this id, as long as nobody has decided on it. */
  findOpen(approvalId: string): PendingApproval | undefined {
    const kept = this.#find(approvalId);
    return kept?.decision === undefined ? kept?.approval : undefined;
  }

  /** The call of one that was open may pass, when that is the decision, or learns why it may not. */
  decided(approvalId: string, decision: ApprovalDecision): void {
    const kept = this.#find(approvalId);
    if (kept === undefined) return;
    kept.decision = decision;
    kept.isGranted = decision.approved;
  }

  /**
   * Whether an approval lets its call pass. It does once: when it was given here and now, or lies in the folder, where only this
   * host puts one. What a log says, which may come from elsewhere, or tell of a call that has left, is no leave.
   */
  async takeGrant({ approvalId }: PendingApproval): Promise<boolean> {
    const kept = this.#find(approvalId);
    const isGranted = kept?.isGranted === true || (await this.#folder.findDecision(approvalId))?.approved === true;
    if (kept !== undefined) kept.isGranted = false;
    if (isGranted) await this.#folder.remove(approvalId);
    return isGranted;
  }

  #find(approvalId: string): Kept | undefined {
    return this.#all.find((each) => each.approval.approvalId === approvalId);
  }
}
