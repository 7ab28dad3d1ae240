import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExecuteRequest } from '../../src/workcell/execute-request.ts';
import { type Cell, openCell } from '../support/cell.ts';
import { eventually } from '../support/processes.ts';

let cell: Cell;

beforeAll(async () => {
  cell = await openCell();
});

afterAll(() => cell[Symbol.asyncDispose]());

const run = (code: string, options: Omit<ExecuteRequest, 'code'> = {}) =>
  cell.workcell.customer('ann').execute({ code, ...options });

describe('a program that fails', () => {
  it('is told where, in lines of the author, with the names of the author', async () => {
    const result = await run(
      [
        "import { add } from 'servers/calculator';",
        'interface Unused { readonly a: number }',
        'function deep(n: number): never {',
        "  throw new RangeError('too far: ' + n);",
        '}',
        'deep(await add({ a: 1, b: 2 }));',
      ].join('\n'),
    );
    expect(result).toMatchObject({ status: 'failed', value: null, limit: null, exitCode: null });
    expect(result.error).toMatchObject({ name: 'RangeError', message: 'too far: 3', line: 4 });
    const { stack } = result.error ?? { stack: '' };
    expect(stack).toMatch(/^RangeError: too far: 3\n/);
    expect(stack).toMatch(/at deep \(.*:4:\d+\)/);
    expect(stack).toMatch(/:6:\d+/);
    expect(stack).not.toMatch(/\/work\/|\/opt\/workcell|program\.mjs|\/\.workcell/);
  });

  it.each([
    ['a string', "throw 'no error';", { name: 'Thrown', message: "'no error'" }],
    ['undefined', 'throw undefined;', { name: 'Thrown', message: 'undefined' }],
    ['fields of its own', "throw Object.assign(new Error('x'), { code: 'E1' });", { fields: { code: 'E1' } }],
    ['from a timer', "setTimeout(() => { throw new TypeError('late'); }, 1);", { name: 'TypeError', message: 'late' }],
    ['as a rejection nobody handles', "void Promise.reject(new TypeError('lost'));", { message: 'lost' }],
    [
      'for a module that is not there',
      "await import('servers/none');",
      { message: expect.stringContaining('"servers/none"') },
    ],
  ])('throws %s', async (_what, code, error) => {
    expect(await run(code)).toMatchObject({ status: 'failed', error });
  });

  it('exits by itself, with its code', async () => {
    expect(await run("console.log('before'); process.exit(7);")).toMatchObject({
      status: 'failed',
      exitCode: 7,
      stdout: 'before\n',
      error: { name: 'ExitError', message: 'The program ended itself with exit code 7' },
    });
    expect(await run('process.exit(0);')).toMatchObject({ status: 'completed', exitCode: 0, value: null });
    expect(
      await run("process.kill(process.pid, 'SIGTERM'); await new Promise(() => setInterval(() => {}, 9));"),
    ).toMatchObject({
      status: 'failed',
      exitCode: null,
      error: { name: 'ExitError', message: 'The program ended itself by SIGTERM' },
    });
  });

  it('is not even started when it cannot be translated', async () => {
    const result = await cell.workcell.customer('never').execute({ code: 'const a = 1;\nconst = 2;' });
    expect(result).toMatchObject({ status: 'failed', sandbox: null, error: { name: 'SyntaxError', line: 2 } });
  });

  it('waits for something that never happens', async () => {
    expect(await run("console.log('waiting'); await new Promise(() => {});")).toMatchObject({
      status: 'failed',
      stdout: 'waiting\n',
      error: { message: expect.stringContaining('waits for something that never happens') },
    });
  });

  it.each([
    ['1n', /BigInt/],
    ['(() => { const a = {}; a.a = a; return a; })()', /circular/],
    ["({ toJSON() { throw new Error('no'); } })", /no/],
  ])('returns what JSON cannot hold: %s', async (value, message) => {
    expect(await run(`return ${value};`)).toMatchObject({
      status: 'failed',
      value: null,
      error: { name: 'TypeError', message: expect.stringMatching(message) },
    });
  });

  it('forges the frames of its runner, and harms nobody but itself', async () => {
    const beside = run('await new Promise((resolve) => setTimeout(resolve, 1500)); return 1;');
    const lines = ['{"t":"end","end":{"kind":"nonsense"}}', '{"t":"call","call":"x","server":1}', 'not JSON', '[]'];
    for (const line of lines) {
      const code = `require('node:fs').writeSync(3, ${JSON.stringify(`${line}\n`)}); setTimeout(() => process.exit(1), 200);`;
      expect(await run(code), line).toMatchObject({ status: 'failed' });
    }
    expect(await beside).toMatchObject({ status: 'completed', value: 1 });
  });
});

describe('a program that completes', () => {
  it('returns any JSON', async () => {
    for (const value of [null, 0, 'ünï\u2028', [1, { a: [] }], { nested: { deep: true } }]) {
      expect(await run(`return ${JSON.stringify(value)};`)).toMatchObject({ status: 'completed', value, error: null });
    }
  });

  it('has finished the work that it did not await', async () => {
    const result = await run(`
      async function main() {
        await new Promise((resolve) => setTimeout(resolve, 50));
        console.log('done');
      }
      main();`);
    expect(result).toMatchObject({ status: 'completed', stdout: 'done\n', value: null });
  });

  it('takes with it what it left running, also what left its process group', async () => {
    const started = await run(`
      const { spawn } = require('node:child_process');
      spawn('sleep', ['4321'], { detached: true, stdio: 'ignore' }).unref();
      spawn('sh', ['-c', 'setsid sh -c "sleep 4321 & sleep 4321" & sleep 4321'], { stdio: 'inherit' }).unref();
      while (!(await sleepers())) await new Promise((resolve) => setTimeout(resolve, 20));
      return await sleepers();
      ${SLEEPERS}`);
    expect(started).toMatchObject({ status: 'completed', error: null });
    expect(started.value).toBeGreaterThan(0);
    expect(await run(`return await sleepers(); ${SLEEPERS}`)).toMatchObject({ status: 'completed', value: 0 });
  });
});

/** Counts the processes that run `sleep 4321`. */
const SLEEPERS = `
  async function sleepers() {
    const { readdirSync, readFileSync } = require('node:fs');
    const read = (pid) => { try { return readFileSync('/proc/' + pid + '/cmdline', 'utf8'); } catch { return ''; } };
    return readdirSync('/proc').filter((pid) => read(pid).split('\\0').join(' ') === 'sleep 4321 ').length;
  }`;

describe('a caller', () => {
  it('that has cancelled before the start gets an error, and no program runs', async () => {
    await expect(
      run("require('node:fs').writeFileSync('ran', '')", { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({
      code: 'cancelled',
    });
    expect(await run("return require('node:fs').existsSync('ran')")).toMatchObject({ value: false });
  });

  it('that cancels during a run ends it, and gets what it did so far', async () => {
    const controller = new AbortController();
    let seen = '';
    const running = run("console.log('first'); setInterval(() => {}, 1000);", {
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === 'stdout') seen += event.text;
      },
    });
    await eventually(() => seen === 'first\n');
    controller.abort();
    expect(await running).toMatchObject({ status: 'killed', stdout: 'first\n', error: { name: 'AbortError' } });
    expect(await run('return 1')).toMatchObject({ status: 'completed', value: 1 });
  });

  it.each([['..'], ['.'], [''], ['a/b'], ['/etc'], ['a'.repeat(64)], ['a'.repeat(200)], ['a\0b'], ['-a'], ['ä']])(
    'cannot be the customer %j',
    (id) => {
      expect(() => cell.workcell.customer(id)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
    },
  );

  it('cannot be a customer whose id differs from another one only in case', async () => {
    await cell.workcell.customer('ann').workspace();
    await expect(cell.workcell.customer('ANN').execute({ code: 'return 1' })).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('only in case'),
    });
  });

  it('must say what to run', async () => {
    await expect(cell.workcell.customer('ann').execute({})).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});
