import { describe, expect, it } from 'vitest';
import { Broker, type BrokerOptions } from '../../../src/broker/broker.ts';
import { Replay } from '../../../src/broker/replay.ts';
import type { LoggedCall } from '../../../src/core/logged-call.ts';
import type { ToolDescriptor } from '../../../src/core/tool.ts';
import { type ToolOutcome, toolFailed } from '../../../src/core/tool-error.ts';
import type { UpstreamCall } from '../../../src/upstream/upstream-hub.ts';

function descriptor(tool: string, more: Partial<ToolDescriptor> = {}): ToolDescriptor {
  const inputSchema = { type: 'object', properties: { n: { type: 'number' } } };
  return { kind: 'upstream', server: 'srv', tool, identifier: tool, description: '', inputSchema, ...more };
}

interface Kit {
  readonly broker: Broker;
  readonly sent: UpstreamCall[];
}

type Answer = (call: UpstreamCall) => ToolOutcome | Promise<ToolOutcome>;

/** A broker over an upstream that answers with the arguments. */
function brokerFor(options: Partial<BrokerOptions> & { readonly answer?: Answer } = {}): Kit {
  const sent: UpstreamCall[] = [];
  const answer: Answer = options.answer ?? ((call) => ({ ok: true, value: call.arguments }));
  const hub = {
    callTool: async (call: UpstreamCall) => {
      sent.push(call);
      return answer(call);
    },
  };
  const limits = { toolCalls: 3, valueBytes: 1000 };
  return { sent, broker: new Broker({ tools: [descriptor('t')], hub, limits, ...options }) };
}

const request = (args: unknown, tool: unknown = 't', server: unknown = 'srv') => ({ server, tool, arguments: args });
const codeOf = (outcome: ToolOutcome) => (outcome.ok ? 'ok' : outcome.error.code);

/** An object whose JSON has exactly this many bytes. */
const sized = (bytes: number) => ({ s: 'x'.repeat(bytes - '{"s":""}'.length) });

describe('scope', () => {
  it('lets a selected tool through, with the original names', async () => {
    const { broker, sent } = brokerFor({
      tools: [descriptor('odd name/1', { identifier: 'oddName1' })],
      timeoutMs: 77,
    });
    expect(await broker.call(request({ n: 1 }, 'odd name/1'))).toEqual({ ok: true, value: { n: 1 } });
    expect(sent).toMatchObject([{ server: 'srv', tool: 'odd name/1', arguments: { n: 1 }, timeoutMs: 77 }]);
  });

  it('refuses a tool that was not selected and says which are', async () => {
    const { broker, sent } = brokerFor({ tools: [descriptor('a'), descriptor('b')] });
    expect(await broker.call(request({}, 'c'))).toEqual({
      ok: false,
      error: {
        server: 'srv',
        tool: 'c',
        code: 'not_selected',
        message:
          'srv.c is not selected for this run; selected tools: srv.a, srv.b; import it in the program, or name it, to select it',
        retryable: false,
        details: { selected: ['srv.a', 'srv.b'] },
      },
    });
    expect(sent).toEqual([]);
  });

  it('says so when nothing is selected, and does not list hundreds', async () => {
    expect(await brokerFor({ tools: [] }).broker.call(request({}))).toMatchObject({
      error: {
        message:
          'srv.t is not selected for this run; selected tools: none; import it in the program, or name it, to select it',
      },
    });
    const tools = Array.from({ length: 25 }, (_, index) => descriptor(`a${index}`));
    const outcome = await brokerFor({ tools }).broker.call(request({}));
    expect(outcome).toMatchObject({ error: { message: expect.stringMatching(/srv\.a19 and 5 more;/) } });
  });

  it('does not perform tools that are modules of the guest', async () => {
    const { broker } = brokerFor({ tools: [descriptor('t', { kind: 'module' })] });
    expect(codeOf(await broker.call(request({})))).toBe('not_selected');
  });

  it.each([
    ['null', null, null],
    ['numbers', 1, 2],
    ['objects that throw as text', { toString: () => 1 }, Object.create(null)],
    ['symbols', Symbol('s'), Symbol('t')],
    ['prototype names', '__proto__', 'constructor'],
    ['very long names', 'srv', 't'.repeat(100_000)],
    ['a name that only begins like a tool', 'srv', 't\u0000'],
  ])('refuses names that are %s', async (_what, server, tool) => {
    const { broker } = brokerFor();
    const outcome = await broker.call(request({}, tool, server));
    expect(codeOf(outcome)).toBe('not_selected');
    expect(JSON.stringify(outcome).length).toBeLessThan(1_500);
    expect(broker.records).toHaveLength(1);
  });
});

describe('arguments', () => {
  it.each([
    [999, 'ok'],
    [1000, 'ok'],
    [1001, 'arguments_too_large'],
  ])('of %i bytes with a limit of 1000: %s', async (bytes, code) => {
    expect(codeOf(await brokerFor().broker.call(request(sized(bytes))))).toBe(code);
  });

  it('are measured in bytes, not in characters', async () => {
    expect(codeOf(await brokerFor().broker.call(request({ s: 'ü'.repeat(600) })))).toBe('arguments_too_large');
  });

  it.each([
    ['a list', []],
    ['a text', 'n'],
    ['a number', 1],
    ['false', false],
    ['a bigint inside', { n: 1n }],
    ['a cycle', cyclic()],
    ['a toJSON that throws', { toJSON: () => Promise.reject.call(null) }],
    ['a getter that throws', Object.defineProperty({}, 'n', { enumerable: true, get: () => JSON.parse('{') })],
    ['a function', () => 1],
    ['what the schema refuses', { n: 'x' }],
    ['what only looks right to the schema', { n: { toJSON: () => 'x' } }],
  ])('that are %s are refused', async (_what, args) => {
    const { broker, sent } = brokerFor();
    expect(codeOf(await broker.call(request(args)))).toBe('invalid_arguments');
    expect(sent).toEqual([]);
  });

  it.each([undefined, null])('that are %s count as none', async (args) => {
    expect(await brokerFor().broker.call(request(args))).toEqual({ ok: true, value: {} });
  });

  it('are sent as they were checked, whatever the caller does to them afterwards', async () => {
    const { broker, sent } = brokerFor();
    const args = { n: 1 };
    const outcome = broker.call(request(args));
    Object.assign(args, { n: 'changed' });
    await outcome;
    expect(sent[0]?.arguments).toEqual({ n: 1 });
  });

  it('with a problem are told where it is', async () => {
    expect(await brokerFor().broker.call(request({ n: 'x' }))).toMatchObject({
      error: { code: 'invalid_arguments', message: 'srv.t: n must be number' },
    });
  });

  it('for a broken schema are refused, and it is said that the schema is', async () => {
    const { broker, sent } = brokerFor({ tools: [descriptor('t', { inputSchema: { type: 'nonsense' } })] });
    expect(await broker.call(request({}))).toMatchObject({
      error: { code: 'schema_unusable', message: expect.stringMatching(/^srv\.t cannot be called: the input schema/) },
    });
    expect(sent).toEqual([]);
  });
});

describe('budget', () => {
  it('lets exactly as many calls through as it holds', async () => {
    const { broker, sent } = brokerFor();
    const codes = [];
    for (let i = 0; i < 5; i++) codes.push(codeOf(await broker.call(request({}))));
    expect(codes).toEqual(['ok', 'ok', 'ok', 'budget_exhausted', 'budget_exhausted']);
    expect(sent).toHaveLength(3);
  });

  it('holds for calls made at the same time', async () => {
    const { broker, sent } = brokerFor();
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => broker.call(request({}))));
    expect(outcomes.filter(({ ok }) => ok)).toHaveLength(3);
    expect(sent).toHaveLength(3);
  });

  it('is not spent by refused calls, and is by failed ones', async () => {
    const { broker } = brokerFor({ answer: (call) => toolFailed(call, { code: 'tool_failed', message: 'no' }) });
    for (const args of [[], 'x', { n: 'x' }, sized(2000)]) await broker.call(request(args));
    await broker.call(request({}, 'other'));
    const codes = [];
    for (let i = 0; i < 4; i++) codes.push(codeOf(await broker.call(request({}))));
    expect(codes).toEqual(['tool_failed', 'tool_failed', 'tool_failed', 'budget_exhausted']);
  });

  it('and a hundred more is what is noted of calls, however many a program makes', async () => {
    const called: unknown[] = [];
    const { broker, sent } = brokerFor({ onCalled: (call) => called.push(call) });
    for (let i = 0; i < 102; i++) await broker.call(request({}, 'other'));
    expect(codeOf(await broker.call(request({})))).toBe('ok');
    expect(codeOf(await broker.call(request({})))).toBe('budget_exhausted');
    expect([called.length, broker.records.length, sent.length]).toEqual([103, 103, 1]);
  });

  it('of zero refuses the first call', async () => {
    const { broker } = brokerFor({ limits: { toolCalls: 0, valueBytes: 1000 } });
    expect(codeOf(await broker.call(request({})))).toBe('budget_exhausted');
  });
});

describe('results', () => {
  it.each([
    [999, 'ok'],
    [1000, 'ok'],
    [1001, 'result_too_large'],
  ])('of %i bytes with a limit of 1000: %s', async (bytes, code) => {
    const { broker } = brokerFor({ answer: () => ({ ok: true, value: sized(bytes) }) });
    const outcome = await broker.call(request({}));
    expect(codeOf(outcome)).toBe(code);
    if (!outcome.ok) expect(outcome.error.details).toEqual({ bytes: 1001, limit: 1000 });
  });

  it('that are nothing are null', async () => {
    const { broker } = brokerFor({ answer: () => ({ ok: true, value: undefined }) });
    expect(await broker.call(request({}))).toEqual({ ok: true, value: null });
  });
});

describe('records', () => {
  it('keep every call in the order in which it was made, with refusals and times', async () => {
    const held = Promise.withResolvers<ToolOutcome>();
    const answer: Answer = ({ arguments: { n } }) => (n === 1 ? held.promise : { ok: true, value: null });
    const events: string[] = [];
    const { broker } = brokerFor({
      answer,
      onCalled: ({ seq, tool }) => events.push(`called ${seq} ${tool}`),
      onReturned: async ({ seq, ok }) => events.push(`returned ${seq} ${ok}`) > 0,
    });
    const slow = broker.call(request({ n: 1 }));
    await broker.call(request({}, 'other'));
    await broker.call(request({ n: 2 }));
    expect(broker.records.map(({ seq }) => seq)).toEqual([2, 3]);
    held.resolve({ ok: true, value: null });
    await slow;
    expect(broker.records).toMatchObject([
      { seq: 1, server: 'srv', tool: 't', ok: true },
      { seq: 2, server: 'srv', tool: 'other', ok: false, error: { code: 'not_selected' } },
      { seq: 3, server: 'srv', tool: 't', ok: true },
    ]);
    for (const { ms } of broker.records) expect(ms).toBeGreaterThanOrEqual(0);
    expect(events).toEqual([
      'called 1 t',
      'called 2 other',
      'returned 2 false',
      'called 3 t',
      'returned 3 true',
      'returned 1 true',
    ]);
  });
});

describe('what is kept', () => {
  it('comes before the answer, which the program gets whole', async () => {
    const kept = Promise.withResolvers<boolean>();
    const seen: ToolOutcome[] = [];
    const { broker } = brokerFor({
      onReturned: (_record, outcome) => {
        seen.push(outcome);
        return kept.promise;
      },
    });
    let answer: ToolOutcome | undefined;
    const answered = broker.call(request({ n: 1 })).then((outcome) => {
      answer = outcome;
    });
    await broker.call(request({}, 'other')).then(({ ok }) => expect(ok).toBe(false));
    expect(seen).toMatchObject([{ ok: false }, { ok: true, value: { n: 1 } }]);
    expect(answer).toBeUndefined();
    kept.resolve(true);
    await answered;
    expect(answer).toEqual({ ok: true, value: { n: 1 } });
  });

  it('is what a program may know: the answer of a call that could not be kept is none', async () => {
    const { broker } = brokerFor({ onReturned: async () => false });
    expect(codeOf(await broker.call(request({ n: 1 })))).toBe('cancelled');
  });
});

describe('a replay', () => {
  const logged = (call: number, returned: LoggedCall['returned'], mayHaveLeft = true): LoggedCall => {
    return { call, server: 'srv', tool: 't', arguments: { n: call }, afterMs: 0, returned, mayHaveLeft };
  };
  const replayOf = (...calls: readonly LoggedCall[]) => new Replay({ calls, lastCall: 5, keptBytes: 1000 });

  it('answers from the log, without telling of it again, and numbers what is new after it', async () => {
    const told: unknown[] = [];
    const { broker, sent } = brokerFor({
      runId: 'run',
      replay: replayOf(logged(2, { outcome: { ok: true, value: 'kept' }, ms: 7 })),
      onCalled: ({ seq }) => told.push(['called', seq]),
      onReturned: async ({ seq }) => told.push(['returned', seq]) > 0,
    });
    expect(await broker.call(request({ n: 2 }))).toEqual({ ok: true, value: 'kept' });
    expect(await broker.call(request({ n: 2 }))).toEqual({ ok: true, value: { n: 2 } });
    expect(told).toEqual([
      ['called', 6],
      ['returned', 6],
    ]);
    expect(sent).toMatchObject([{ idempotencyKey: 'run:6' }]);
    expect(broker.records).toMatchObject([{ seq: 2, ms: 7, ok: true }, { seq: 6 }]);
  });

  it.each([
    ['of no certain kind', {}, true, 'outcome_unknown'],
    ['of an idempotent tool', { tools: [descriptor('t', { annotations: { idempotentHint: true } })] }, true, 'ok'],
    ['of a server that knows keys', { isKeyed: () => true }, true, 'ok'],
    ['that has surely not left', {}, false, 'ok'],
    ['of a tool that is not selected any more', { tools: [] }, true, 'not_selected'],
  ])('of a call without an answer, %s', async (_what, options, mayHaveLeft, code) => {
    const returned: number[] = [];
    const { broker, sent } = brokerFor({
      ...options,
      runId: 'run',
      replay: replayOf(logged(3, undefined, mayHaveLeft)),
      onReturned: async ({ seq }) => returned.push(seq) > 0,
    });
    expect(codeOf(await broker.call(request({ n: 3 })))).toBe(code);
    expect(sent.map(({ idempotencyKey }) => idempotencyKey)).toEqual(code === 'ok' ? ['run:3'] : []);
    expect(returned).toEqual([3]);
  });
});

describe('closing', () => {
  const untilAborted: Answer = (call) =>
    new Promise((resolve) => {
      call.signal?.addEventListener('abort', () => resolve(toolFailed(call, { code: 'cancelled', message: 'over' })));
    });

  it('cancels the calls in flight, waits for them, and refuses later ones', async () => {
    const { broker, sent } = brokerFor({ answer: untilAborted });
    const inFlight = broker.call(request({}), new AbortController().signal);
    await broker.close();
    expect(broker.records).toMatchObject([{ ok: false, error: { code: 'cancelled' } }]);
    expect(codeOf(await inFlight)).toBe('cancelled');
    expect(codeOf(await broker.call(request({})))).toBe('cancelled');
    expect(sent).toHaveLength(1);
  });

  it('after a run that was cut off leaves the calls in flight without an outcome', async () => {
    const returned: number[] = [];
    const { broker } = brokerFor({
      answer: untilAborted,
      onReturned: async ({ seq }) => returned.push(seq) > 0,
    });
    const inFlight = broker.call(request({}));
    await broker[Symbol.asyncDispose]();
    await inFlight;
    expect([returned, broker.records]).toEqual([[], []]);
  });

  it('twice is fine', async () => {
    const { broker } = brokerFor();
    await Promise.all([broker.close(), broker.close()]);
  });

  it('leaves it to the caller to end one call alone', async () => {
    const { broker } = brokerFor({ answer: untilAborted });
    const controller = new AbortController();
    const outcome = broker.call(request({}), controller.signal);
    controller.abort();
    expect(codeOf(await outcome)).toBe('cancelled');
  });
});

function cyclic(): object {
  const self: { self?: object } = {};
  self.self = self;
  return self;
}

describe('approval', () => {
  it('is asked for when every other check has passed, with what will be sent, and before it is', async () => {
    const asked: unknown[] = [];
    const { broker, sent } = brokerFor({
      approve: async ({ seq, server, tool, arguments: args }) => {
        asked.push({ seq, server, tool, args, sent: sent.length });
        return undefined;
      },
    });
    expect(codeOf(await broker.call(request({ n: 1 }, 'other')))).toBe('not_selected');
    expect(codeOf(await broker.call(request({ n: 'x' })))).toBe('invalid_arguments');
    expect(codeOf(await broker.call(request(sized(1001))))).toBe('arguments_too_large');
    for (let n = 1; n <= 3; n++) await broker.call(request({ n }));
    expect(codeOf(await broker.call(request({ n: 4 })))).toBe('budget_exhausted');
    expect(asked).toEqual([1, 2, 3].map((n) => ({ seq: n + 3, server: 'srv', tool: 't', args: { n }, sent: n - 1 })));
  });

  it('that is refused fails the call, and nothing is sent', async () => {
    const { broker, sent } = brokerFor({ approve: async () => ({ code: 'rejected', message: 'no' }) });
    expect(codeOf(await broker.call(request({ n: 1 })))).toBe('rejected');
    expect(broker.records).toMatchObject([{ ok: false, error: { code: 'rejected', message: 'no' } }]);
    expect(sent).toEqual([]);
  });

  it('is waited for no longer when the run is over', async () => {
    const { broker } = brokerFor({
      approve: (_, signal) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => resolve({ code: 'cancelled', message: 'given up' }));
        }),
    });
    const call = broker.call(request({ n: 1 }));
    expect(broker.openCalls).toBe(1);
    await broker.close();
    expect(codeOf(await call)).toBe('cancelled');
    expect(broker.openCalls).toBe(0);
  });

  it('that is left open by a run that was cut off leaves no record of an end', async () => {
    const returned: unknown[] = [];
    const { broker, sent } = brokerFor({
      approve: (_, signal) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => resolve({ code: 'cancelled', message: 'given up' }));
        }),
      onReturned: async (record) => returned.push(record) > 0,
    });
    const call = broker.call(request({ n: 1 }));
    await broker[Symbol.asyncDispose]();
    expect(codeOf(await call)).toBe('cancelled');
    expect([returned, broker.records, sent]).toEqual([[], [], []]);
  });
});
