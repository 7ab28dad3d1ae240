import { describe, expect, test } from 'vitest';
import {
  rememberTask,
  TASKS_IN_ALL,
  TASKS_PER_TOOL,
  type UsageMemory,
  weightAt,
} from '../../../src/selector/usage-memory.ts';

const DAY = 86_400_000;
const NOW = new Date('2026-01-01T00:00:00.000Z');
const day = (days: number) => new Date(NOW.getTime() + days * DAY);
const used = (tool: string, schemaHash = 'h') => ({ server: 's', tool, schemaHash });
const textsOf = (memory: UsageMemory, name: string) =>
  memory.find(({ tool }) => tool === name)?.tasks.map(({ text }) => text);
/** A different word for each number, without digits. */
const word = (n: number) => [...String(n)].map((digit) => 'abcdefghij'[Number(digit)]).join('');

describe('rememberTask()', () => {
  test('keeps the redacted task for each tool that served it', () => {
    const memory = rememberTask([], { task: 'Mail "hi" to ann@example.com', tools: [used('a'), used('b')], at: NOW });
    const tasks = [{ text: 'Mail to', at: NOW.toISOString() }];
    expect(memory).toEqual([
      { ...used('a'), tasks },
      { ...used('b'), tasks },
    ]);
  });

  test('keeps nothing of a task that is nothing but values', () => {
    const memory: UsageMemory = [];
    expect(rememberTask(memory, { task: '"x" 12', tools: [used('a')], at: NOW })).toBe(memory);
  });

  test('keeps a task that comes again once, as the newest', () => {
    const tasks = ['one', 'two', 'one'];
    const memory = tasks.reduce<UsageMemory>(
      (before, task, i) => rememberTask(before, { task, tools: [used('a')], at: day(i) }),
      [],
    );
    expect(textsOf(memory, 'a')).toEqual(['two', 'one']);
  });

  test('drops what a tool has served before it changed', () => {
    const before = rememberTask([], { task: 'old', tools: [used('a', 'h1')], at: NOW });
    expect(textsOf(rememberTask(before, { task: 'new', tools: [used('a', 'h2')], at: NOW }), 'a')).toEqual(['new']);
  });

  test.each([TASKS_PER_TOOL - 1, TASKS_PER_TOOL, TASKS_PER_TOOL + 1])(
    'of %d tasks of a tool keeps the newest 30',
    (count) => {
      let memory: UsageMemory = [];
      for (let i = 0; i < count; i++)
        memory = rememberTask(memory, { task: word(i), tools: [used('a')], at: day(i / 100) });
      expect(textsOf(memory, 'a')).toEqual(Array.from({ length: count }, (_, i) => word(i)).slice(-30));
    },
  );

  test.each([
    [-1, 0],
    [0, 0],
    [1, 1],
  ])('with %d tasks more than are kept in all, forgets the %d oldest', (more, forgotten) => {
    const count = TASKS_IN_ALL - 1 + more;
    const memory: UsageMemory = Array.from({ length: count }, (_, i) => ({
      ...used(`t${i}`),
      tasks: [{ text: 'x', at: day(i / 1_000).toISOString() }],
    }));
    const after = rememberTask(memory, { task: 'new', tools: [used('last')], at: day(10) });
    expect(after).toHaveLength(count + 1 - forgotten);
    expect(textsOf(after, 't0')).toEqual(forgotten === 0 ? ['x'] : undefined);
  });

  test.each([
    [364, 2],
    [365, 1],
  ])('after %d days without it, keeps %d tools', (days, count) => {
    const before = rememberTask([], { task: 'old', tools: [used('a')], at: NOW });
    expect(rememberTask(before, { task: 'new', tools: [used('b')], at: day(days) })).toHaveLength(count);
  });
});

test('weightAt() halves every 90 days, and takes a time to come for now', () => {
  const at = (days: number) => weightAt({ text: 'x', at: day(-days).toISOString() }, NOW);
  expect([at(0), at(90), at(180), at(-5)]).toEqual([1, 0.5, 0.25, 1]);
});
