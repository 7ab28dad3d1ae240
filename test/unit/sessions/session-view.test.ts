import { describe, expect, test } from 'vitest';
import { parseCustomerId, parseSessionId } from '../../../src/core/ids.ts';
import { type SessionEvent, type StoredEvent, stampEvent } from '../../../src/sessions/events.ts';
import { type SessionViewOptions, viewSession } from '../../../src/sessions/session-view.ts';

const START = Date.UTC(2026, 0, 2, 3, 4, 0);

/** The events, one second apart. */
const stamped = (events: readonly SessionEvent[]): StoredEvent[] =>
  events.map((event, index) => stampEvent(event, index + 1, new Date(START + index * 1_000), []));
const at = (seconds: number): string => new Date(START + seconds * 1_000).toISOString();

const view = (events: readonly SessionEvent[], more: Partial<SessionViewOptions> = {}) =>
  viewSession({ sessionId: parseSessionId('s1'), customer: parseCustomerId('acme'), events: stamped(events), ...more });

const created: SessionEvent = { type: 'session.created', sessionId: 's1', customer: 'acme' };
const started = (executionId: string, more: { task?: string | null; description?: string } = {}): SessionEvent => ({
  type: 'execution.started',
  executionId,
  task: null,
  language: 'typescript',
  program: `program of ${executionId}`,
  selection: { mode: 'none', considered: 0, tools: [], noMatch: null },
  planner: 'none',
  ...more,
});
const output = (executionId: string, text: string): SessionEvent => ({
  type: 'output',
  executionId,
  stream: 'stdout',
  text,
});
const finished = (executionId: string, status: 'completed' | 'failed', value: unknown): SessionEvent => ({
  type: 'execution.finished',
  executionId,
  status,
  value,
  error: status === 'failed' ? { name: 'TypeError', message: 'broken', stack: '' } : null,
  limit: null,
  exitCode: status === 'failed' ? 1 : 0,
  output: { stdoutBytes: 0, stderrBytes: 0, truncated: false },
  sandbox: null,
  timing: null,
});

describe('viewSession()', () => {
  test('of a session without events is empty', () => {
    expect(view([])).toEqual({
      session_id: 's1',
      customer_uid: 'acme',
      started_at: null,
      ended_at: null,
      tasks: [],
      task_count: 0,
      older_before: null,
      state_files: [],
      checkpoint: null,
    });
  });

  test('tells the tasks in the order in which they started, each with its own output', () => {
    const { tasks } = view([
      created,
      started('e1', { task: 'First', description: 'Described' }),
      started('e2', { task: 'Second' }),
      output('e2', 'two '),
      output('e1', 'one'),
      output('e2', 'more'),
      finished('e2', 'failed', null),
      finished('e1', 'completed', { answer: 42 }),
    ]);
    expect(tasks).toEqual([
      {
        task_id: 'e1',
        description: 'Described',
        language: 'typescript',
        code: 'program of e1',
        result: { answer: 42 },
        output: 'one',
        timestamp: at(1),
        status: 'completed',
        error: null,
      },
      {
        task_id: 'e2',
        description: 'Second',
        language: 'typescript',
        code: 'program of e2',
        result: null,
        output: 'two more',
        timestamp: at(2),
        status: 'failed',
        error: 'TypeError: broken',
      },
    ]);
  });

  test('calls an execution that never finished interrupted, and keeps its output', () => {
    expect(view([created, started('e1'), output('e1', 'half')]).tasks).toMatchObject([
      { task_id: 'e1', description: '', status: 'interrupted', output: 'half', result: null, error: null },
    ]);
  });

  test('calls an unfinished execution running when it is known to be', () => {
    const { tasks } = view([created, started('e1'), started('e2')], { running: new Set(['e2']) });
    expect(tasks.map((task) => task.status)).toEqual(['interrupted', 'running']);
  });

  test('calls an execution paused until its program was told what was decided', () => {
    const approval = { executionId: 'e1', call: 1, approvalId: 'apr_e1_1' };
    const asked: SessionEvent = {
      ...{ type: 'approval.requested', ...approval },
      ...{ server: 'bank', tool: 'pay', arguments: {} },
    };
    const decided: SessionEvent = { type: 'approval.decided', ...approval, approved: true, by: 'ann', reason: null };
    const statusAfter = (...events: SessionEvent[]) => view([created, started('e1'), ...events]).tasks[0]?.status;
    expect(statusAfter(asked)).toBe('paused');
    expect(statusAfter(asked, { ...decided, waiting: false })).toBe('paused');
    expect(statusAfter(asked, decided)).toBe('interrupted');
    expect(statusAfter(asked, finished('e1', 'completed', 1))).toBe('completed');
  });

  test('tells the latest checkpoint', () => {
    const { checkpoint } = view([
      created,
      { type: 'checkpoint.set', step: 1, lastTask: null, context: null },
      { type: 'checkpoint.set', step: 2, lastTask: 'e1', context: { cursor: 'x' } },
    ]);
    expect(checkpoint).toEqual({ step: 2, last_task: 'e1', context: { cursor: 'x' }, timestamp: at(2) });
  });

  test('has ended once it was closed, until it is resumed', () => {
    const closed: SessionEvent = { type: 'session.closed' };
    const resumed: SessionEvent = { type: 'session.resumed', interrupted: [] };
    expect(view([created])).toMatchObject({ started_at: at(0), ended_at: null });
    expect(view([created, closed])).toMatchObject({ started_at: at(0), ended_at: at(1) });
    expect(view([created, closed, resumed])).toMatchObject({ started_at: at(0), ended_at: null });
  });

  test('leaves out what belongs to an execution that it has not seen start', () => {
    expect(view([created, output('e9', 'lost'), finished('e9', 'completed', 1)]).tasks).toEqual([]);
  });

  test('names the state files that it is given', () => {
    expect(view([created], { stateFiles: ['cursor.json'] }).state_files).toEqual(['cursor.json']);
  });
});
