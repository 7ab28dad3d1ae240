import { expect, it } from 'vitest';
import { type SessionEvent, type StoredEvent, stampEvent } from '../../../src/sessions/events.ts';
import { recordedCalls } from '../../../src/sessions/recorded-calls.ts';
import { SAMPLE_EVENTS } from './sample-events.ts';

const started = SAMPLE_EVENTS.find(({ type }) => type === 'execution.started') as SessionEvent;
const base = { executionId: 'e1' };

/** The events as they are stored, a second apart. */
function stored(events: readonly SessionEvent[]): StoredEvent[] {
  return events.map((event, index) => stampEvent(event, index + 1, new Date(1000 * index), []));
}

function called(call: number, args: unknown = {}): SessionEvent {
  return { ...base, type: 'tool.called', call, server: 'bank', tool: 'pay', arguments: args };
}

function returned(call: number, value: unknown = null): SessionEvent {
  return { ...base, type: 'tool.returned', call, ok: true, ms: 5, value };
}

const resumed = (attempt: number, replay = true): SessionEvent => ({
  ...base,
  type: 'execution.resumed',
  attempt,
  replay,
});

it('are those of the execution, with what the program was given', () => {
  const events = [
    started,
    called(1, { n: 1 }),
    { ...called(2), executionId: 'e2' },
    called(3),
    { ...returned(1), executionId: 'e2' },
    {
      ...base,
      type: 'tool.returned',
      call: 3,
      ok: false,
      ms: 7,
      error: { code: 'tool_failed', message: 'No', retryable: true, details: { status: 503 } },
    },
    returned(1, { done: [1] }),
    called(4),
  ] as SessionEvent[];
  expect(recordedCalls('e1', stored(events))).toEqual({
    attempts: 1,
    lastCall: 4,
    calls: [
      {
        call: 1,
        server: 'bank',
        tool: 'pay',
        arguments: { n: 1 },
        afterMs: 1000,
        returned: { outcome: { ok: true, value: { done: [1] } }, ms: 5 },
        mayHaveLeft: true,
      },
      {
        call: 3,
        server: 'bank',
        tool: 'pay',
        arguments: {},
        afterMs: 3000,
        returned: {
          ms: 7,
          outcome: {
            ok: false,
            error: {
              server: 'bank',
              tool: 'pay',
              code: 'tool_failed',
              message: 'No',
              retryable: true,
              details: { status: 503 },
            },
          },
        },
        mayHaveLeft: true,
      },
      {
        call: 4,
        server: 'bank',
        tool: 'pay',
        arguments: {},
        afterMs: 7000,
        returned: undefined,
        mayHaveLeft: true,
      },
    ],
  });
});

it('of all attempts belong together, until one begins without them', () => {
  const events = [started, called(1), returned(1), resumed(2), called(2), returned(2), resumed(3, false), called(3)];
  expect(recordedCalls('e1', stored(events.slice(0, 6)))).toMatchObject({
    attempts: 2,
    lastCall: 2,
    calls: [{ call: 1 }, { call: 2, afterMs: 1000 }],
  });
  expect(recordedCalls('e1', stored(events))).toMatchObject({ attempts: 3, lastCall: 3, calls: [{ call: 3 }] });
});

it('without what was too large to keep, or was not kept by an earlier version', () => {
  const cut = (event: SessionEvent, field: string): StoredEvent => stampEvent(event, 9, new Date(0), [field]);
  const old = { ...base, type: 'tool.returned', call: 3, ok: true, ms: 1 } as const;
  const events = [
    ...stored([started, called(1)]),
    cut(called(2, null), 'arguments'),
    ...stored([called(3)]),
    cut(returned(1), 'value'),
    ...stored([returned(2), old]),
  ];
  expect(recordedCalls('e1', events).calls).toMatchObject([
    { arguments: {}, returned: undefined },
    { arguments: undefined, returned: { outcome: { ok: true, value: null } } },
    { arguments: {}, returned: undefined },
  ]);
});

const requested: SessionEvent = {
  ...base,
  type: 'approval.requested',
  call: 1,
  approvalId: 'apr_1',
  server: 'bank',
  tool: 'pay',
  arguments: {},
};
const decided = (approved: boolean, waiting?: boolean): SessionEvent => ({
  ...base,
  type: 'approval.decided',
  call: 1,
  approvalId: 'apr_1',
  approved,
  by: 'ann',
  reason: null,
  ...(waiting === undefined ? {} : { waiting }),
});

it.each([
  ['waits for an approval', [requested], false],
  ['was refused', [requested, decided(false)], false],
  ['was approved while its program waited', [requested, decided(true)], true],
  ['was approved while nothing ran', [requested, decided(true, false)], false],
  ['was approved while nothing ran, and its program ran again', [requested, decided(true, false), resumed(2)], true],
])('a call that %s: may have left %o', (_what, events, mayHaveLeft) => {
  const [call] = recordedCalls('e1', stored([started, called(1), ...events])).calls;
  expect(call).toMatchObject({ mayHaveLeft });
});
