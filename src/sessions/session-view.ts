import type { Language } from '../core/execution.ts';
import type { CustomerId, SessionId } from '../core/ids.ts';
import type { StoredEvent } from './events.ts';
import { ExecutionApprovals } from './execution-approvals.ts';

type Finished = Extract<StoredEvent, { readonly type: 'execution.finished' }>;
type Started = Extract<StoredEvent, { readonly type: 'execution.started' }>;

/** One execution, as a task of the session. */
export interface TaskView {
  readonly task_id: string;
  readonly description: string;
  readonly language: Language;
  /** The program as it ran. */
  readonly code: string;
  /** What the program returned; null when it returned nothing or did not get that far. */
  readonly result: unknown;
  /** What the program wrote to stdout and stderr, in the order in which it arrived. */
  readonly output: string;
  /** When the task started, ISO 8601. */
  readonly timestamp: string;
  /** `interrupted`: it started and has no outcome, because its host or its sandbox died; `paused`: it waits to be approved. */
  readonly status: Finished['status'] | 'running' | 'paused';
  /** `name: message` of what ended the task, or null. */
  readonly error: string | null;
}

export interface CheckpointView {
  readonly step: number | string;
  readonly last_task: string | null;
  readonly context: unknown;
  readonly timestamp: string;
}

/** A session as its log tells it; the field names are those of the JSON that users see. */
export interface SessionView {
  readonly session_id: string;
  readonly customer_uid: string;
  readonly started_at: string | null;
  /** When the session was closed; null while it is open, also after it was resumed. */
  readonly ended_at: string | null;
  /** Oldest first. */
  readonly tasks: readonly TaskView[];
  /** How many there are, also those that are not shown. */
  readonly task_count: number;
  /** The task before which older ones are; null when the oldest is shown. */
  readonly older_before: string | null;
  readonly state_files: readonly string[];
  readonly checkpoint: CheckpointView | null;
}

export interface SessionViewOptions {
  readonly sessionId: SessionId;
  readonly customer: CustomerId;
  readonly events: Iterable<StoredEvent>;
  /** Executions that are under way; without it every unfinished one counts as interrupted, or paused. */
  readonly running?: ReadonlySet<string>;
  /** When `events` are not all there are: how many executions have started, and the last one that is left out is before which. */
  readonly taskCount?: number;
  readonly olderBefore?: string | null;
  /** Names of the files in the workspace's `state/`, which no event tells. */
  readonly stateFiles?: readonly string[];
}

/** Derives the view of a session from its events. Pure. */
export function viewSession(options: SessionViewOptions): SessionView {
  const view = {
    session_id: options.sessionId,
    customer_uid: options.customer,
    started_at: null as string | null,
    ended_at: null as string | null,
    checkpoint: null as CheckpointView | null,
  };
  const runs = new Map<string, Run>();
  for (const event of options.events) {
    if ('executionId' in event) runs.get(event.executionId)?.approvals.push(event);
    switch (event.type) {
      case 'session.created':
        view.started_at = event.at;
        break;
      case 'session.resumed':
        view.ended_at = null;
        break;
      case 'session.closed':
        view.ended_at = event.at;
        break;
      case 'checkpoint.set':
        view.checkpoint = { step: event.step, last_task: event.lastTask, context: event.context, timestamp: event.at };
        break;
      case 'execution.started':
        runs.set(event.executionId, {
          started: event,
          output: [],
          approvals: new ExecutionApprovals(),
          finished: undefined,
        });
        break;
      case 'output':
        runs.get(event.executionId)?.output.push(event.text);
        break;
      case 'execution.finished': {
        const run = runs.get(event.executionId);
        if (run !== undefined) run.finished = event;
        break;
      }
      case 'execution.resumed': {
        const run = runs.get(event.executionId);
        if (run === undefined) break;
        run.output.length = 0;
        run.finished = undefined;
        break;
      }
      case 'tool.called':
      case 'tool.returned':
      case 'approval.requested':
      case 'approval.decided':
        break;
      default:
        event satisfies never;
    }
  }
  const tasks = [...runs.values()].map((run) => viewTask(run, options.running));
  const { taskCount = tasks.length, olderBefore = null } = options;
  return { ...view, tasks, task_count: taskCount, older_before: olderBefore, state_files: options.stateFiles ?? [] };
}

interface Run {
  readonly started: Started;
  readonly output: string[];
  readonly approvals: ExecutionApprovals;
  finished: Finished | undefined;
}

function viewTask({ started, output, approvals, finished }: Run, running: ReadonlySet<string> | undefined): TaskView {
  const idle = approvals.isPausing ? 'paused' : 'interrupted';
  const unfinished = running?.has(started.executionId) ? 'running' : idle;
  const error = finished?.error ?? null;
  return {
    task_id: started.executionId,
    description: started.description ?? started.task ?? '',
    language: started.language,
    code: started.program,
    result: finished?.value ?? null,
    output: output.join(''),
    timestamp: started.at,
    status: finished?.status ?? unfinished,
    error: error === null ? null : `${error.name}: ${error.message}`,
  };
}
