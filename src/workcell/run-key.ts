import { createHash } from 'node:crypto';
import type { CustomerId, ExecutionId } from '../core/ids.ts';

/**
 * Names an execution to servers that customers share, without telling whose it is. Its id alone would not do: customers choose
 * those, and two may choose the same.
 */
export function runKey(customer: CustomerId, execution: ExecutionId): string {
  return `${execution}.${createHash('sha256').update(customer).digest('hex').slice(0, 16)}`;
}
