import { isApprovalOf } from '../core/approval.ts';
import { parseExecutionId } from '../core/ids.ts';
import type { StoredEvent } from './events.ts';

/** Follows a log that anybody may have made, event by event, and says which could not be where it is. */
export class LogOrder {
  /** The calls of each execution that has started. */
  readonly #calls = new Map<string, Set<number>>();
  #seq = 0;

  /**
   * Why an event is not the next one of any session, to follow on what it is called; undefined when it may be. Throws
   * `invalid_argument` for the start of an execution that no id can be.
   */
  refuse(event: StoredEvent): string | undefined {
    this.#seq += 1;
    const { seq, type } = event;
    if (seq !== this.#seq) return `has the sequence number ${seq}`;
    if ((type === 'session.created') !== (seq === 1)) return `is a ${type}, which cannot be there`;
    if (!('executionId' in event)) return undefined;
    const { executionId } = event;
    const calls = this.#calls.get(executionId);
    if (type === 'execution.started') {
      this.#calls.set(parseExecutionId(executionId), new Set());
      return calls && `starts "${executionId}" a second time`;
    }
    if (calls === undefined) return 'is of an execution that has not started';
    if (!('call' in event)) return undefined;
    const { call } = event;
    if (type === 'tool.called') {
      if (call > 0) calls.add(call);
      return call > 0 ? undefined : 'is of a call without a number';
    }
    if (!calls.has(call)) return `is of call ${call}, which was not made`;
    const isForeign = 'approvalId' in event && !isApprovalOf(executionId, event.approvalId);
    return isForeign ? 'is of an approval of another execution' : undefined;
  }
}
