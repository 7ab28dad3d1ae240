import type { ExecutionId } from '../core/ids.ts';
import type { StoredEvent } from './events.ts';
import { executionApprovals, type RecordedApproval } from './execution-approvals.ts';

/** How the approvals of an execution stand, as its session tells. */
export async function readApprovals(
  history: AsyncIterable<StoredEvent>,
  executionId: ExecutionId,
): Promise<readonly RecordedApproval[]> {
  const events: StoredEvent[] = [];
  for await (const event of history) {
    if ('executionId' in event && event.executionId === executionId) events.push(event);
  }
  return executionApprovals(events);
}
