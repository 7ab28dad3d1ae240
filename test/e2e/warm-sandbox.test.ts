import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Cell, openCell } from '../support/cell.ts';
import { descendantsNamed, eventually } from '../support/processes.ts';

let cell: Cell;

beforeAll(async () => {
  cell = await openCell({ sandbox: { idleTimeout: '1s' } });
});

afterAll(() => cell[Symbol.asyncDispose]());

const run = (code: string, session?: string) => cell.workcell.customer('ann').execute({ code, session });

it('a sandbox that nobody uses is closed, and the next program gets a new one', async () => {
  const first = await run('return 1');
  expect(await descendantsNamed('qemu-system-x86_64')).toHaveLength(1);
  await eventually(async () => (await descendantsNamed('qemu-system-x86_64')).length === 0);
  const second = await run('return 2');
  expect(second).toMatchObject({ status: 'completed', value: 2, sandbox: { boot: 'restored' } });
  expect(second.sandbox?.id).not.toBe(first.sandbox?.id);
});

it('a program that is silent for longer than that is not idle', async () => {
  const result = await run('await new Promise((resolve) => setTimeout(resolve, 3500)); return 1;');
  expect(result).toMatchObject({ status: 'completed', value: 1 });
});

it('programs that come as the sandbox is being closed for idleness all run', async () => {
  for (let attempt = 0; attempt < 6; attempt++) {
    // Around the moment at which the sandbox is closed.
    await new Promise((resolve) => setTimeout(resolve, 970 + 10 * attempt));
    expect(await run('return 1')).toMatchObject({ status: 'completed' });
  }
});

it('two programs in one session at once are both recorded, whole', async () => {
  const results = await Promise.all([1, 2].map((n) => run(`console.log(${n}); return ${n};`, 'shared')));
  expect(results.map(({ value }) => value)).toEqual([1, 2]);
  const { tasks } = await cell.workcell.customer('ann').session('shared');
  expect(
    tasks
      .map(({ status, output, result }) => ({ status, output, result }))
      .sort((a, b) => Number(a.result) - Number(b.result)),
  ).toEqual([1, 2].map((n) => ({ status: 'completed', output: `${n}\n`, result: n })));
});
