import { describe, expect, it } from 'vitest';
import { FairSlots } from '../../../src/util/fair-slots.ts';

const slotsOf = (slots: number, maxWaiting = 1000, timeoutMs = 60_000) =>
  new FairSlots({ slots, maxWaiting, timeoutMs });
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'had it',
    (error: { code: string }) => error.code,
  );

describe('slots', () => {
  it('are given to as many as there are, and then to one for each that is let go of', async () => {
    const slots = slotsOf(2);
    const [first, second] = [await slots.take('a'), await slots.take('a')];
    const third = slots.take('a');
    expect(slots.waiting).toBe(1);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    const held = await third;
    const fourth = slots.take('a');
    expect(slots.waiting).toBe(1);
    second[Symbol.dispose]();
    (await fourth)[Symbol.dispose]();
    held[Symbol.dispose]();
    expect(slots.waiting).toBe(0);
  });

  it('are had by no more than there are, whatever the order in which 1,000 come and go', async () => {
    const slots = slotsOf(7);
    let [now, most] = [0, 0];
    const work = async (n: number) => {
      using _slot = await slots.take(`c${n % 5}`);
      now += 1;
      most = Math.max(most, now);
      for (let turn = 0; turn < (n * 7) % 11; turn++) await null;
      now -= 1;
    };
    await Promise.all(Array.from({ length: 1000 }, (_, n) => work(n)));
    expect([now, most, slots.waiting]).toEqual([0, 7, 0]);
  });

  it('go to whoever has the fewest, so that one who asks for many keeps nobody waiting', async () => {
    const slots = slotsOf(2);
    const held = [await slots.take('greedy'), await slots.take('greedy')];
    const order: string[] = [];
    const ask = (owner: string) =>
      void slots.take(owner).then((slot) => {
        order.push(owner);
        held.push(slot);
      });
    for (const owner of ['greedy', 'greedy', 'greedy', 'ann', 'ann', 'bob']) ask(owner);
    for (let n = 0; n < 6; n++) {
      held.shift()?.[Symbol.dispose]();
      await new Promise(setImmediate);
    }
    expect(order).toEqual(['ann', 'greedy', 'bob', 'ann', 'greedy', 'greedy']);
  });

  it('that do not come in time are refused, and nobody is left in the line', async () => {
    const slots = slotsOf(1, 1000, 20);
    using _held = await slots.take('a');
    await expect(slots.take('b')).rejects.toMatchObject({ code: 'busy', details: { limit: 1, retryAfterMs: 1000 } });
    expect(slots.waiting).toBe(0);
  });

  it('are not given to who has left', async () => {
    const slots = slotsOf(1);
    const held = await slots.take('a');
    const leaving = new AbortController();
    const left = codeOf(slots.take('b', leaving.signal));
    const stays = slots.take('c');
    leaving.abort();
    expect(await left).toBe('cancelled');
    held[Symbol.dispose]();
    (await stays)[Symbol.dispose]();
    using _free = await slots.take('d', AbortSignal.abort());
    expect(await codeOf(slots.take('e', AbortSignal.abort()))).toBe('cancelled');
  });

  it('may be waited for by as many as the bound says', async () => {
    const slots = slotsOf(1, 2);
    const held = await slots.take('a');
    const waiting = [slots.take('a'), slots.take('b')];
    expect(await codeOf(slots.take('a'))).toBe('busy');
    expect(slots.waiting).toBe(2);
    held[Symbol.dispose]();
    for (const slot of waiting) (await slot)[Symbol.dispose]();
  });

  it('that are waited for by one alone make room for another: its newest gives way', async () => {
    const slots = slotsOf(1, 3);
    const held = await slots.take('greedy');
    const used = (owner: string) => codeOf(slots.take(owner).then((slot) => slot[Symbol.dispose]()));
    const greedy = [used('greedy'), used('greedy'), used('greedy')];
    const ann = used('ann');
    expect(await greedy[2]).toBe('busy');
    held[Symbol.dispose]();
    expect(await Promise.all([ann, ...greedy])).toEqual(['had it', 'had it', 'had it', 'busy']);
  });
});
