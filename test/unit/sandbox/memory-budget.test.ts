import { expect, it } from 'vitest';
import { MemoryBudget } from '../../../src/sandbox/memory-budget.ts';
import { Deadline } from '../../../src/util/deadline.ts';

it('gives what is free at once, up to the ceiling and not a MiB more', async () => {
  using deadline = new Deadline('Reserving', 1_000);
  const budget = new MemoryBudget(100);
  const release = await budget.reserve(100, deadline);
  expect(budget.tryReserve(1)).toBeUndefined();
  release();
  release();
  expect(budget.reservedMib).toBe(0);
});

it('refuses at once what could never be free', async () => {
  using deadline = new Deadline('Reserving', 60_000);
  await expect(new MemoryBudget(100).reserve(101, deadline)).rejects.toMatchObject({ code: 'invalid_argument' });
});

it('serves those who wait in the order in which they came, and nobody past them', async () => {
  using deadline = new Deadline('Reserving', 1_000);
  const budget = new MemoryBudget(100);
  const first = await budget.reserve(60, deadline);
  const order: string[] = [];
  const large = budget.reserve(80, deadline).then((release) => {
    order.push('large');
    return release;
  });
  const small = budget.reserve(40, deadline).then((release) => {
    order.push('small');
    return release;
  });
  expect(budget.waiting).toBe(2);
  expect(budget.tryReserve(10)).toBeUndefined();
  first();
  (await large)();
  (await small)();
  expect(order).toEqual(['large', 'small']);
  expect(budget.reservedMib).toBe(0);
});

it('a request whose time is up leaves the line, and lets the next one through', async () => {
  const budget = new MemoryBudget(100);
  using long = new Deadline('Reserving', 1_000);
  const controller = new AbortController();
  using short = new Deadline('Reserving', 1_000, { signal: controller.signal });
  const held = await budget.reserve(50, long);
  const large = budget.reserve(100, short);
  const small = budget.reserve(50, long);
  controller.abort();
  await expect(large).rejects.toMatchObject({ code: 'cancelled' });
  (await small)();
  held();
  expect(budget.reservedMib).toBe(0);
});

it('asks for what is only kept in store while somebody waits, and no longer', async () => {
  using deadline = new Deadline('Reserving', 1_000);
  const budget = new MemoryBudget(100);
  const stored = [await budget.reserve(50, deadline), await budget.reserve(50, deadline)];
  const stop = budget.addReclaimer(async () => {
    const release = stored.pop();
    release?.();
    return release !== undefined;
  });
  const release = await budget.reserve(40, deadline);
  expect(stored).toHaveLength(1);
  stop();
  release();
  expect(budget.reservedMib).toBe(50);
});
