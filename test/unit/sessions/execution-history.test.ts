import { describe, expect, test } from 'vitest';
import type { HistoryEvent } from '../../../src/core/execution.ts';
import { parseCustomerId, parseExecutionId, parseSessionId } from '../../../src/core/ids.ts';
import { type SessionEvent, type StoredEvent, stampEvent } from '../../../src/sessions/events.ts';
import { ExecutionHistory } from '../../../src/sessions/execution-history.ts';
import { Random } from '../random.ts';

const owner = (id: string) => ({
  customer: parseCustomerId('ann'),
  sessionId: parseSessionId('s1'),
  executionId: parseExecutionId(id),
});

const stamped = (events: readonly SessionEvent[]): readonly StoredEvent[] =>
  events.map((event, index) => stampEvent(event, index + 1, new Date(Date.UTC(2026, 0, 1, 0, 0, index)), []));

function told(id: string, events: readonly StoredEvent[]): { history: ExecutionHistory; told: HistoryEvent[] } {
  const history = new ExecutionHistory(owner(id));
  return { history, told: events.flatMap((event) => history.push(event) ?? []) };
}

const started = (executionId: string): SessionEvent => ({
  type: 'execution.started',
  executionId,
  task: 'Do it',
  language: 'python',
  program: 'program',
  selection: { mode: 'none', considered: 0, tools: [], noMatch: null },
  planner: 'none',
  warnings: ['careful'],
});
const output = (executionId: string, stream: 'stdout' | 'stderr', text: string): SessionEvent => ({
  type: 'output',
  executionId,
  stream,
  text,
});
const called = (executionId: string, call: number): SessionEvent => ({
  type: 'tool.called',
  executionId,
  call,
  server: 'bank',
  tool: `pay${call}`,
  arguments: {},
});
const returned = (executionId: string, call: number, ok = true): SessionEvent => ({
  type: 'tool.returned',
  executionId,
  call,
  ok,
  ms: 5,
  ...(ok ? { value: 1 } : { error: { code: 'denied', message: 'No', retryable: false, details: { why: 1 } } }),
});
const requested = (executionId: string, call: number): SessionEvent => ({
  type: 'approval.requested',
  executionId,
  call,
  approvalId: `apr_e1_${call}`,
  server: 'bank',
  tool: `pay${call}`,
  arguments: { cents: call },
});
const decided = (executionId: string, call: number): SessionEvent => ({
  type: 'approval.decided',
  executionId,
  call,
  approvalId: `apr_e1_${call}`,
  approved: true,
  by: 'key_1',
  reason: null,
});
const resumed = (executionId: string, attempt = 2): SessionEvent => ({
  type: 'execution.resumed',
  executionId,
  attempt,
  replay: true,
});
type Status = Extract<SessionEvent, { type: 'execution.finished' }>['status'];
const finished = (executionId: string, status: Status = 'completed', value: unknown = 42): SessionEvent => ({
  type: 'execution.finished',
  executionId,
  status,
  value,
  error: status === 'failed' ? { name: 'TypeError', message: 'broken', stack: 'at', line: 3, fields: null } : null,
  limit: null,
  exitCode: 0,
  output: { stdoutBytes: 3, stderrBytes: 0, truncated: false },
  sandbox: null,
  timing: null,
});

describe('ExecutionHistory', () => {
  test('tells every event of its execution, numbered from 1, and none of another', () => {
    const events = stamped([
      { type: 'session.created', sessionId: 's1', customer: 'ann' },
      started('e1'),
      started('e2'),
      output('e2', 'stdout', 'not mine'),
      called('e1', 1),
      requested('e1', 1),
      decided('e1', 1),
      returned('e1', 1, false),
      output('e1', 'stderr', 'mine'),
      finished('e1'),
      { type: 'session.closed' },
    ]);
    expect(told('e1', events).told).toEqual([
      expect.objectContaining({ seq: 1, type: 'started', executionId: 'e1', language: 'python', task: 'Do it' }),
      { seq: 2, at: events[4]?.at, type: 'tool.called', call: 1, server: 'bank', tool: 'pay1' },
      expect.objectContaining({ seq: 3, type: 'approval.required', approvalId: 'apr_e1_1', arguments: { cents: 1 } }),
      expect.objectContaining({ seq: 4, type: 'approval.decided', approved: true, by: 'key_1', reason: null }),
      {
        seq: 5,
        at: events[7]?.at,
        type: 'tool.returned',
        call: 1,
        server: 'bank',
        tool: 'pay1',
        ok: false,
        ms: 5,
        error: { code: 'denied', message: 'No' },
      },
      expect.objectContaining({ seq: 6, type: 'stderr', text: 'mine' }),
      expect.objectContaining({ seq: 7, type: 'finished' }),
    ]);
  });

  test('gives the whole result with the end', () => {
    const events = [started('e1'), output('e1', 'stdout', 'a'), called('e1', 2), called('e1', 1)];
    const ends = [returned('e1', 2), returned('e1', 1), output('e1', 'stdout', 'b'), finished('e1', 'failed', null)];
    const { history, told: all } = told('e1', stamped([...events, ...ends]));
    expect(history.result()).toEqual({
      ...owner('e1'),
      status: 'failed',
      value: null,
      stdout: 'ab',
      stderr: '',
      output: { stdoutBytes: 3, stderrBytes: 0, truncated: false },
      error: { name: 'TypeError', message: 'broken', stack: 'at', line: 3 },
      limit: null,
      exitCode: 0,
      selection: { mode: 'none', considered: 0, tools: [], noMatch: null },
      planner: 'none',
      language: 'python',
      program: 'program',
      warnings: ['careful'],
      sandbox: null,
      calls: [
        { seq: 1, server: 'bank', tool: 'pay1', ms: 5, ok: true },
        { seq: 2, server: 'bank', tool: 'pay2', ms: 5, ok: true },
      ],
      timing: null,
    });
    expect(all.at(-1)).toMatchObject({ type: 'finished', result: history.result() });
  });

  test('says that a value was too large to be kept', () => {
    const events = [stampEvent(started('e1'), 1, new Date(), []), stampEvent(finished('e1'), 2, new Date(), ['value'])];
    expect(told('e1', events).history.result()?.warnings).toEqual(['careful', expect.stringContaining('larger than')]);
  });

  test('begins its output anew when it is resumed, and keeps its calls', () => {
    const before = [started('e1'), output('e1', 'stdout', 'void'), called('e1', 1), returned('e1', 1)];
    const after = [finished('e1', 'interrupted', null), resumed('e1'), output('e1', 'stdout', 'real'), finished('e1')];
    const { history, told: all } = told('e1', stamped([...before, ...after]));
    expect(all.map(({ type }) => type)).toEqual([
      'started',
      'stdout',
      'tool.called',
      'tool.returned',
      'finished',
      'resumed',
      'stdout',
      'finished',
    ]);
    expect(history.result()).toMatchObject({ status: 'completed', stdout: 'real', calls: [{ seq: 1 }] });
    expect(history.attempt).toBe(2);
  });

  test.each([
    ['runs', [started('e1')], true, 'running'],
    ['was cut off', [started('e1')], false, 'interrupted'],
    ['waits for an approval', [started('e1'), requested('e1', 1)], true, 'paused'],
    ['waits for an approval that nobody holds', [started('e1'), requested('e1', 1)], false, 'paused'],
    ['goes on after an approval', [started('e1'), requested('e1', 1), decided('e1', 1)], true, 'running'],
    ['is over', [started('e1'), finished('e1', 'limit_exceeded')], false, 'limit_exceeded'],
    ['was given up while it waited', [started('e1'), requested('e1', 1), finished('e1', 'killed')], false, 'killed'],
    ['runs again', [started('e1'), finished('e1', 'interrupted'), resumed('e1')], true, 'running'],
  ] as const)('says of one that %s how it stands', (_name, events, isHeld, state) => {
    const { history } = told('e1', stamped(events));
    expect(history.state(isHeld)).toBe(state);
    expect(history.approvals.length).toBe(state === 'paused' ? 1 : 0);
  });

  test('names what is missing when a log lacks the start, or a call', () => {
    for (const events of [[finished('e1')], [started('e1'), returned('e1', 1)]])
      expect(() => told('e1', stamped(events))).toThrow(/Session "s1" lacks events of the execution "e1"/);
    expect(() => told('e1', []).history.started).toThrow(/lacks events/);
  });

  test.each(Array.from({ length: 40 }, (_, seed) => seed))(
    'is the same however executions are interleaved in a session (seed %i)',
    (seed) => {
      const random = new Random(seed);
      const runs = ['e1', 'e2', 'e3', 'e4'].map((id) => randomRun(id, random));
      const alone = runs.map((events, index) => told(`e${index + 1}`, stamped(events)));
      const mixed = stamped(interleave(runs, random));
      for (const [index, { history, told: expected }] of alone.entries()) {
        const among = told(`e${index + 1}`, mixed);
        expect(among.told.map(withoutTime)).toEqual(expected.map(withoutTime));
        expect(among.history.result()).toEqual(history.result());
        expect(among.told.map(({ seq }) => seq)).toEqual(among.told.map((_, ordinal) => ordinal + 1));
      }
    },
  );
});

function withoutTime({ at: _, ...event }: HistoryEvent) {
  return event;
}

function randomRun(id: string, random: Random): readonly SessionEvent[] {
  const events = [started(id)];
  const open: number[] = [];
  for (let step = 0, call = 0; step < random.integer(0, 30); step++) {
    const kind = random.pick(['stdout', 'stderr', 'call', 'return', 'resume'] as const);
    if (kind === 'stdout' || kind === 'stderr') events.push(output(id, kind, `${id}-${step} `));
    else if (kind === 'call') {
      call += 1;
      open.push(call);
      events.push(called(id, call));
    } else if (kind === 'return') {
      const [answered] = open.splice(random.integer(0, open.length), 1);
      if (answered !== undefined) events.push(returned(id, answered, random.next() < 0.5));
    } else events.push(finished(id, 'interrupted', null), resumed(id, step + 2));
  }
  return random.next() < 0.8 ? [...events, finished(id)] : events;
}

function interleave(runs: readonly (readonly SessionEvent[])[], random: Random): readonly SessionEvent[] {
  const queues = runs.map((run) => [...run]);
  const mixed: SessionEvent[] = [];
  for (;;) {
    const [first, ...others] = queues.filter((queue) => queue.length > 0);
    if (first === undefined) return mixed;
    const next = random.pick([first, ...others]).shift();
    if (next !== undefined) mixed.push(next);
  }
}
