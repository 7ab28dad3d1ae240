import type { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { ElicitResultSchema } from '@modelcontextprotocol/sdk/types.js';
import type { ApprovalDecision } from '../core/approval.ts';
import { isWorkcellError } from '../core/errors.ts';
import type { PendingApproval } from '../core/execution.ts';
import { toolName } from '../core/tool.ts';
import type { Customer } from '../workcell/customer.ts';
import { clip } from './clip.ts';
import type { CallExtra } from './tool-table.ts';

/** A person may think for a while; whoever waits for longer finds the execution paused. */
const ANSWER_TIMEOUT_MS = 10 * 60_000;
/** Characters of a call's arguments that a person is shown. */
const SHOWN_ARGUMENTS = 4_000;

export interface AskPersonOptions {
  readonly server: Server;
  readonly customer: Customer;
  /** Whether what the person behind the client says is a decision. */
  readonly mayApprove: boolean;
}

/**
 * Puts calls that wait to be approved before the person behind the client (MCP 2025-11-25, "Elicitation"): the model has no
 * part in it. Gives whether all of them are decided then; they are not when the client cannot ask, or nobody answers.
 */
export type AskPerson = (
  approvals: readonly PendingApproval[],
  extra: CallExtra,
  over: AbortSignal,
) => Promise<boolean>;

export function askPersonOf({ server, customer, mayApprove }: AskPersonOptions): AskPerson {
  return async (approvals, extra, over) => {
    const { elicitation } = server.getClientCapabilities() ?? {};
    const canAsk = elicitation !== undefined && (elicitation.form !== undefined || elicitation.url === undefined);
    if (!mayApprove || !canAsk) return false;
    for (const approval of approvals) {
      const answer = await ask(approval, extra, over);
      if (answer === undefined) return false;
      const by = `the person at ${server.getClientVersion()?.name ?? 'an MCP client'}`;
      await decide(customer, approval, { ...answer, by });
    }
    return true;
  };
}

/** Undefined when there is no answer. */
async function ask(
  approval: PendingApproval,
  { sendRequest, signal }: CallExtra,
  over: AbortSignal,
): Promise<Omit<ApprovalDecision, 'by'> | undefined> {
  const params = { message: questionOf(approval), requestedSchema: FORM };
  const options = { timeout: ANSWER_TIMEOUT_MS, signal: AbortSignal.any([signal, over]) };
  const request = { method: 'elicitation/create' as const, params };
  const { action, content } = await sendRequest(request, ElicitResultSchema, options).catch(() => NO_ANSWER);
  if (action === 'cancel') return undefined;
  const reason = typeof content?.['reason'] === 'string' && content['reason'] !== '' ? content['reason'] : undefined;
  return {
    approved: action === 'accept' && content?.['approve'] === true,
    ...(reason === undefined ? {} : { reason }),
  };
}

const NO_ANSWER = { action: 'cancel', content: undefined } as const;

const FORM = {
  type: 'object' as const,
  properties: {
    approve: { type: 'boolean' as const, title: 'Approve this call' },
    reason: { type: 'string' as const, title: 'Reason', maxLength: 2_000 },
  },
  required: ['approve'],
};

function questionOf(approval: PendingApproval): string {
  const { text } = clip(JSON.stringify(approval.arguments), SHOWN_ARGUMENTS);
  return `A program wants to call ${toolName(approval)} with ${text}`;
}

/** Somebody else may have decided meanwhile, and that holds. */
async function decide(customer: Customer, { approvalId }: PendingApproval, decision: ApprovalDecision): Promise<void> {
  try {
    await customer.decideApproval(approvalId, decision);
  } catch (error) {
    if (!isWorkcellError(error) || error.code !== 'invalid_state') throw error;
  }
}
