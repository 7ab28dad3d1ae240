import type { LoggedCall } from '../core/logged-call.ts';
import { type ToolErrorCode, type ToolOutcome, toolFailed } from '../core/tool-error.ts';
import type { StoredEvent } from './events.ts';

/** What a new attempt at an execution has to know of those before. */
export interface RecordedCalls {
  /** In the order in which they were made, since the program last ran without answers from the log. */
  readonly calls: readonly LoggedCall[];
  /** The largest number that a call of the execution has; 0 for none. */
  readonly lastCall: number;
  /** How often the program has been run. */
  readonly attempts: number;
}

type Event<Type extends StoredEvent['type']> = Extract<StoredEvent, { readonly type: Type }>;

/** Gathers the tool calls of one execution from the events of its session. Pure. */
export function recordedCalls(executionId: string, events: Iterable<StoredEvent>): RecordedCalls {
  const known = new Map<number, Draft>();
  let lastCall = 0;
  let attempts = 0;
  let beganAt = 0;
  for (const event of events) {
    if (!('executionId' in event) || event.executionId !== executionId) continue;
    switch (event.type) {
      case 'execution.started':
        attempts = 1;
        beganAt = Date.parse(event.at);
        break;
      case 'execution.resumed':
        attempts = event.attempt;
        beganAt = Date.parse(event.at);
        if (!event.replay) known.clear();
        for (const draft of known.values()) draft.isDecidedAside = false;
        break;
      case 'tool.called':
        lastCall = Math.max(lastCall, event.call);
        known.set(event.call, { called: event, afterMs: Math.max(0, Date.parse(event.at) - beganAt) });
        break;
      case 'tool.returned': {
        const draft = known.get(event.call);
        if (draft !== undefined) draft.returned = event;
        break;
      }
      case 'approval.requested': {
        const draft = known.get(event.call);
        if (draft !== undefined) draft.isAsked = true;
        break;
      }
      case 'approval.decided': {
        const draft = known.get(event.call);
        if (draft === undefined) break;
        draft.isApproved = event.approved;
        draft.isDecidedAside = event.waiting === false;
        break;
      }
      case 'output':
      case 'execution.finished':
        break;
      default:
        event satisfies never;
    }
  }
  const calls = [...known.values()].sort((a, b) => a.called.call - b.called.call).map(finish);
  return { calls, lastCall, attempts };
}

interface Draft {
  readonly called: Event<'tool.called'>;
  readonly afterMs: number;
  returned?: Event<'tool.returned'>;
  /** Whether an approval was asked for it, and given. */
  isAsked?: boolean;
  isApproved?: boolean;
  /** Decided while no program ran that could have made the call, and none has run since. */
  isDecidedAside?: boolean;
}

function finish(draft: Draft): LoggedCall {
  const { called, afterMs, returned, isAsked = false, isApproved = false, isDecidedAside = false } = draft;
  const { call, server, tool } = called;
  const outcome = returned && outcomeOf(called, returned);
  return {
    call,
    server,
    tool,
    arguments: called.truncated?.includes('arguments') ? undefined : called.arguments,
    afterMs,
    returned: outcome && { outcome, ms: returned.ms },
    mayHaveLeft: !isAsked || (isApproved && !isDecidedAside),
  };
}

/** Undefined for an answer that was too large to keep, or that an earlier version has not kept. */
function outcomeOf(called: Event<'tool.called'>, returned: Event<'tool.returned'>): ToolOutcome | undefined {
  const { ok, value, error, truncated } = returned;
  if (ok) return value === undefined || truncated?.includes('value') ? undefined : { ok, value };
  if (error === undefined) return undefined;
  const { code, message, retryable = false, details = {} } = error;
  // Only what this code wrote is in the log.
  return toolFailed(called, { code: code as ToolErrorCode, message, retryable, details: details ?? {} });
}
