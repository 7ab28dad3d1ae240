import type { PastExecution, ProgramSession } from '../core/program-session.ts';
import type { StoredEvent } from './events.ts';

/** Executions, bytes of the JSON of each value, characters of each task: what a program is told of the past. */
export const HISTORY_LIMITS = { executions: 10, valueBytes: 8 * 1024, taskLength: 500 } as const;

/** What a session remembers for the programs that run in it, at one point of its log. */
export interface Remembered extends Pick<ProgramSession, 'checkpoint' | 'history'> {
  readonly isClosed: boolean;
  /** The executions that have no outcome, oldest first. */
  readonly unfinished: readonly string[];
}

/** Follows a session event by event. */
export class SessionMemory {
  readonly #tasks = new Map<string, string | null>();
  readonly #unfinished = new Set<string>();
  #history: readonly PastExecution[] = [];
  #checkpoint: ProgramSession['checkpoint'] = null;
  #isClosed = false;

  push(event: StoredEvent): void {
    switch (event.type) {
      case 'execution.started':
        this.#tasks.set(event.executionId, event.task?.slice(0, HISTORY_LIMITS.taskLength) ?? null);
        this.#unfinished.add(event.executionId);
        break;
      case 'execution.resumed':
        this.#unfinished.add(event.executionId);
        this.#history = this.#history.filter(({ executionId }) => executionId !== event.executionId);
        break;
      case 'execution.finished':
        this.#finish(event);
        break;
      case 'checkpoint.set': {
        const { step, lastTask, context } = event;
        this.#checkpoint = { step, lastTask, context };
        break;
      }
      case 'session.closed':
        this.#isClosed = true;
        break;
      case 'session.resumed':
        this.#isClosed = false;
        break;
      case 'session.created':
      case 'tool.called':
      case 'tool.returned':
      case 'approval.requested':
      case 'approval.decided':
      case 'output':
        break;
      default:
        event satisfies never;
    }
  }

  get remembered(): Remembered {
    return {
      checkpoint: this.#checkpoint,
      history: this.#history,
      isClosed: this.#isClosed,
      unfinished: [...this.#unfinished],
    };
  }

  #finish(event: Extract<StoredEvent, { readonly type: 'execution.finished' }>): void {
    const { executionId, status } = event;
    if (status === 'interrupted') return;
    this.#unfinished.delete(executionId);
    const task = this.#tasks.get(executionId) ?? null;
    this.#tasks.delete(executionId);
    const past = { executionId, task, status, ...boundValue(event.value) };
    this.#history = [...this.#history, past].slice(-HISTORY_LIMITS.executions);
  }
}

function boundValue(value: unknown): Pick<PastExecution, 'value' | 'truncated'> {
  const bytes = Buffer.byteLength(JSON.stringify(value) ?? '');
  return bytes <= HISTORY_LIMITS.valueBytes ? { value } : { value: null, truncated: true };
}
