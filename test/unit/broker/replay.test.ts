import { afterEach, describe, expect, it } from 'vitest';
import { CallMatcher } from '../../../src/broker/call-matcher.ts';
import { type Match, Replay, type ReplayOptions } from '../../../src/broker/replay.ts';
import type { LoggedCall } from '../../../src/core/logged-call.ts';

const never = new AbortController().signal;
const made = (args: unknown, tool = 't') => ({ server: 'srv', tool, arguments: args });

function logged(call: number, args: unknown, more: Partial<LoggedCall> = {}): LoggedCall {
  const returned = { outcome: { ok: true as const, value: call }, ms: 1 };
  return { call, ...made(args), afterMs: 0, returned, mayHaveLeft: true, ...more };
}

describe('a call', () => {
  const take = (calls: readonly LoggedCall[], ...wanted: readonly unknown[]) => {
    const matcher = new CallMatcher(calls, 100);
    return wanted.map((args) => matcher.take(made(args))?.call);
  };

  it('is the logged one with the same arguments, whatever the order of calls and of keys', () => {
    const calls = [logged(1, { a: 1, b: { c: 2, d: [3] } }), logged(2, { a: 2 }), logged(3, {})];
    expect(take(calls, { a: 2 }, null, { b: { d: [3], c: 2 }, a: 1 })).toEqual([2, 3, 1]);
  });

  it('is the next of those that are equal, and none when they are used up', () => {
    const calls = [logged(1, { n: 1 }), logged(4, { n: 1 }), logged(7, { n: 1 })];
    expect(take(calls, { n: 1 }, { n: 1 }, { n: 1 }, { n: 1 })).toEqual([1, 4, 7, undefined]);
  });

  it.each([
    ['another value', { n: 2 }],
    ['another type', { n: '1' }],
    ['one key more', { n: 1, m: null }],
    ['a list in another order', { n: 1, l: [2, 1] }],
  ])('with %s is none of the log', (_what, args) => {
    expect(take([logged(1, { n: 1 }), logged(2, { n: 1, l: [1, 2] })], args)).toEqual([undefined]);
  });

  it('of another tool or server is none of the log', () => {
    const matcher = new CallMatcher([logged(1, {})], 100);
    expect(matcher.take(made({}, 'u'))).toBeUndefined();
    expect(matcher.take({ ...made({}), server: 'srv2' })).toBeUndefined();
    expect([...matcher.unused]).toHaveLength(1);
  });

  it('whose arguments were too large to keep is the next such call of its tool', () => {
    const big = { s: 'x'.repeat(100) };
    const calls = [logged(1, undefined), logged(2, { n: 1 }), logged(3, undefined)];
    expect(take(calls, { n: 1 }, big, { s: 'y'.repeat(200) }, big)).toEqual([2, 1, 3, undefined]);
  });
});

describe('a replay', () => {
  const open: AbortController[] = [];
  afterEach(() => {
    for (const controller of open.splice(0)) controller.abort();
  });

  function replayOf(calls: readonly LoggedCall[], more: Partial<ReplayOptions> = {}): Replay {
    return new Replay({ calls, lastCall: calls.length, keptBytes: 1000, graceMs: 30_000, ...more });
  }

  /** What has become of a match by the next turn of the event loop. */
  async function soon(match: Promise<Match | undefined>): Promise<Match | undefined | 'held'> {
    const turn = new Promise<'held'>((resolve) => setImmediate(() => resolve('held')));
    return await Promise.race([match, turn]);
  }

  it('gives logged calls, and then new ones', async () => {
    const replay = replayOf([logged(1, { n: 1 })]);
    expect(await replay.match(made({ n: 1 }), never)).toMatchObject({ kind: 'logged', logged: { call: 1 } });
    expect(await replay.match(made({ n: 1 }), never)).toEqual({ kind: 'new' });
    expect(replay.end('completed')).toBeUndefined();
  });

  it('holds what the log does not have until all that it has was made', async () => {
    const replay = replayOf([logged(1, { n: 1 }), logged(2, { n: 2 })]);
    const early = replay.match(made({ n: 9 }), never);
    expect(await soon(early)).toBe('held');
    await replay.match(made({ n: 2 }), never);
    expect(await soon(early)).toBe('held');
    await replay.match(made({ n: 1 }), never);
    expect(await early).toEqual({ kind: 'new' });
    expect(replay.end('completed')).toBeUndefined();
  });

  it('lets go of a held call that its program gives up', async () => {
    const replay = replayOf([logged(1, { n: 1 })]);
    const controller = new AbortController();
    const early = replay.match(made({ n: 9 }), controller.signal);
    controller.abort();
    expect(await early).toBeUndefined();
    expect(await replay.match(made({}), controller.signal)).toBeUndefined();
  });

  it('has diverged when a logged call does not come while another waits, names both, and what may be the cause', async () => {
    const replay = replayOf([logged(3, { at: 1 }), logged(4, { x: 1 }, { tool: 'u' })], { graceMs: 20 });
    const held = replay.match(made({ x: 2 }, 'u'), never);
    expect(await held).toMatchObject({
      kind: 'diverged',
      failure: {
        code: 'replay_diverged',
        message: expect.stringMatching(
          /it called srv\.u\(\{"x":2\}\), and has not made call 4 of its log, srv\.u\(\{"x":1\}\)\. .* the time, a random number or a UUID .* without replay\. Nothing/,
        ),
        details: {
          made: { server: 'srv', tool: 'u', arguments: '{"x":2}' },
          logged: { call: 4, server: 'srv', tool: 'u', arguments: '{"x":1}' },
        },
      },
    });
    expect(replay.diverged.aborted).toBe(true);
    expect(await replay.match(made({ at: 1 }), never)).toMatchObject({ kind: 'diverged' });
    expect(replay.end('killed')).toMatchObject({ code: 'replay_diverged' });
  });

  it('gives a program twice the time that it took before, and the grace', async () => {
    const replay = replayOf([logged(1, { n: 1 }, { afterMs: 150 })], { graceMs: 20 });
    const began = performance.now();
    expect(await replay.match(made({ n: 2 }), never)).toMatchObject({ kind: 'diverged' });
    expect(performance.now() - began).toBeGreaterThanOrEqual(319);
  });

  it.each([
    ['completed', 'replay_diverged'],
    ['failed', 'replay_diverged'],
    ['killed', undefined],
    ['timed_out', undefined],
    ['limit_exceeded', undefined],
  ] as const)('of a program that ends as %s without a logged call: %s', (status, code) => {
    const replay = replayOf([logged(1, { n: 1 })]);
    const failure = replay.end(status);
    expect(failure?.code).toBe(code);
    if (failure !== undefined)
      expect(failure.message).toMatch(/it ended, and has not made call 1 of its log, srv\.t\(\{"n":1\}\)/);
  });

  it('has diverged when its program is ended while it waits with a call that is not in the log', async () => {
    const replay = replayOf([logged(1, { n: 1 })]);
    const held = replay.match(made({ n: 2 }), never);
    expect(replay.end('timed_out')).toMatchObject({ details: { made: { arguments: '{"n":2}' } } });
    expect(await held).toMatchObject({ kind: 'diverged' });
  });

  it('tells arguments at a length that can be read', async () => {
    const replay = replayOf([logged(1, { s: 'x'.repeat(900) })]);
    const failure = replay.end('completed');
    expect(failure?.message.length).toBeLessThan(900);
    expect(failure?.message).toContain('x…)');
  });
});
