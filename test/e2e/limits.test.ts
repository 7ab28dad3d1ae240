import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExecuteRequest } from '../../src/workcell/execute-request.ts';
import { type Cell, openCell } from '../support/cell.ts';

const OUTPUT = 1000;
const VALUE = 1000;

let cell: Cell;

beforeAll(async () => {
  cell = await openCell({ limits: { output: OUTPUT, value: VALUE, code: 2000 } });
});

afterAll(() => cell[Symbol.asyncDispose]());

const run = (code: string, options: Omit<ExecuteRequest, 'code'> = {}) =>
  cell.workcell.customer('ann').execute({ code, ...options });

const worksAgain = async () => expect(await run('return 42')).toMatchObject({ status: 'completed', value: 42 });

describe('time', () => {
  it('ends a busy loop, keeps what it printed, and leaves room for the next program', async () => {
    await worksAgain();
    const result = await run("console.log('before'); while (true) {}", { timeoutMs: 6_000 });
    expect(result).toMatchObject({
      status: 'timed_out',
      limit: 'time',
      value: null,
      stdout: 'before\n',
      error: { name: 'TimeoutError', message: expect.stringContaining('still running after 6 s') },
    });
    expect(result.timing.runMs).toBeGreaterThanOrEqual(6_000);
    // On a machine with other things to do; without its own timeout it has two minutes.
    expect(result.timing.runMs).toBeLessThan(30_000);
    await worksAgain();
  });

  it('ends a program that ignores every signal it can, and its children', async () => {
    const result = await run(
      `for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => {});
      require('node:child_process').spawnSync('sh', ['-c', 'trap "" TERM INT HUP; while :; do :; done']);`,
      { timeoutMs: 1_000 },
    );
    expect(result).toMatchObject({ status: 'timed_out' });
    await worksAgain();
  });
});

describe('output', () => {
  it.each([
    [OUTPUT - 1, false],
    [OUTPUT, false],
    [OUTPUT + 1, true],
  ])('of %i bytes is cut: %s', async (bytes, truncated) => {
    for (const stream of ['stdout', 'stderr'] as const) {
      const result = await run(`process.${stream}.write('x'.repeat(${bytes}))`);
      expect(result[stream]).toBe('x'.repeat(Math.min(bytes, OUTPUT)));
      expect(result.output).toMatchObject({ [`${stream}Bytes`]: bytes, truncated });
      expect(result.status).toBe('completed');
    }
  });

  it('is never cut inside of a character', async () => {
    const result = await run(`process.stdout.write('x' + 'é'.repeat(${OUTPUT}))`);
    expect(result.stdout).toBe(`x${'é'.repeat(Math.floor((OUTPUT - 1) / 2))}`);
    expect(result.output).toEqual({ stdoutBytes: 1 + 2 * OUTPUT, stderrBytes: 0, truncated: true });
  });

  it('of 100 MB is counted, bounded and marked', async () => {
    const result = await run(
      "const line = 'x'.repeat(99_999) + '\\n'; for (let i = 0; i < 1000; i++) process.stdout.write(line);",
    );
    expect(result).toMatchObject({ status: 'completed', output: { stdoutBytes: 100_000_000, truncated: true } });
    expect(result.stdout).toBe('x'.repeat(OUTPUT));
  });
});

describe('memory', () => {
  it.each([
    ['buffers', 'a.push(Buffer.alloc(8 << 20, 1))'],
    ['the heap', 'a.push(new Array(1e6).fill(0.5))'],
  ])('that runs out, as %s, ends the program and not its sandbox', async (_what, grow) => {
    const before = await run('return 1');
    expect(await run(`const a = []; while (true) ${grow};`)).toMatchObject({
      status: 'limit_exceeded',
      limit: 'memory',
      error: { name: 'OutOfMemoryError', message: expect.stringContaining('sandbox.memory') },
    });
    const after = await run('return 42');
    expect(after).toMatchObject({ status: 'completed', value: 42 });
    expect(after.sandbox?.id).toBe(before.sandbox?.id);
  });

  it('that a child of the program uses counts too', async () => {
    const hungry = 'a = []\\nwhile True: a.append(bytearray(8 << 20))';
    expect(
      await run(`return require('node:child_process').spawnSync('python3', ['-c', "${hungry}"]).signal`),
    ).toMatchObject({
      status: 'limit_exceeded',
      limit: 'memory',
    });
    await worksAgain();
  });
});

describe('processes', () => {
  it('are bounded in number', async () => {
    // Shells that wait for a named pipe: starting another program in each would take an emulated guest too long.
    const loop =
      'mkfifo /tmp/pipe; i=0; while [ $i -lt 1000 ]; do (exec 2> /dev/null; read x < /tmp/pipe) & i=$((i+1)); done';
    const result = await run(
      `return String(require('node:child_process').spawnSync('sh', ['-c', '${loop}'], { stdio: ['ignore', 'ignore', 'pipe'] }).stderr)`,
    );
    expect(result).toMatchObject({ status: 'completed', value: expect.stringMatching(/cannot fork/i) });
    await worksAgain();
  });

  it('that multiply without end are all gone when the time is up', async () => {
    const bomb = 'bomb() { bomb | bomb & }; bomb; sleep 100';
    const result = await run(`require('node:child_process').spawnSync('sh', ['-c', '${bomb}'], { stdio: 'ignore' })`, {
      timeoutMs: 3_000,
    });
    expect(result).toMatchObject({ status: 'timed_out' });
    await worksAgain();
    expect(
      await run("return String(require('node:child_process').spawnSync('sh', ['-c', 'cat /proc/[0-9]*/comm']).stdout)"),
    ).toMatchObject({ value: expect.not.stringMatching(/^sleep$/m) });
  });
});

describe('values and code', () => {
  it.each([
    [VALUE - 1, 'completed'],
    [VALUE, 'completed'],
    [VALUE + 1, 'limit_exceeded'],
  ])('a returned value of %i bytes of JSON: %s', async (bytes, status) => {
    const result = await run(`return 'x'.repeat(${bytes} - 2)`);
    expect(result.status).toBe(status);
    if (status === 'completed') expect(result.value).toBe('x'.repeat(bytes - 2));
    else
      expect(result).toMatchObject({
        value: null,
        limit: 'output',
        error: { message: expect.stringContaining(`${bytes} bytes`) },
      });
  });

  it.each([
    [2000, true],
    [2001, false],
  ])('a program of %i bytes runs: %s', async (bytes, runs) => {
    const running = run('return 1;'.padEnd(bytes));
    if (runs) expect(await running).toMatchObject({ status: 'completed', value: 1 });
    else
      await expect(running).rejects.toMatchObject({
        code: 'invalid_argument',
        message: expect.stringContaining('2001'),
      });
  });
});
