import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PROGRAM_URL } from '../../../src/core/program-url.ts';
import type { ExecuteProgram, ProgramRun } from '../../../src/executor/program-executor.ts';
import { RpcSandboxes } from '../../../src/executor/rpc/rpc-sandboxes.ts';
import { SandboxExecutor } from '../../../src/executor/sandbox-executor.ts';
import { Secret } from '../../../src/util/secret.ts';
import {
  DOUBLE_KEY,
  type LegacyServerDouble,
  type Misbehaviour,
  startLegacyServer,
} from '../../support/legacy-server-double.ts';
import { eventually } from '../../support/processes.ts';
import { tempFolder } from '../../support/temp-folder.ts';

let stack: AsyncDisposableStack;
let root: string;
let server: LegacyServerDouble;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  root = stack.use(await tempFolder()).path;
  for (const name of ['files', 'skills', 'other']) await mkdir(join(root, name));
});

afterEach(() => stack.disposeAsync());

async function open(misbehaviour: Misbehaviour = {}, options: { bootTimeoutMs?: number; key?: string } = {}) {
  server = stack.use(await startLegacyServer(misbehaviour));
  const shared = {
    url: server.url,
    apiKey: new Secret(options.key ?? DOUBLE_KEY),
    sandbox: { image: 'microsandbox/node', cpus: 1, memoryMib: 512 },
    bootTimeoutMs: options.bootTimeoutMs ?? 30_000,
    idleTimeoutMs: 60_000,
  };
  return stack.use(new SandboxExecutor(shared, new RpcSandboxes({ ...shared, slots: join(root, 'slots') })));
}

let last = 0;

function program(code: string, options: Partial<ExecuteProgram> = {}): ExecuteProgram {
  last += 1;
  return {
    customer: 'ann',
    mounts: [
      { type: 'bind', host: join(root, 'files'), guest: '/workspace' },
      { type: 'bind', host: join(root, 'skills'), guest: '/opt/workcell/skills' },
    ],
    program: { id: `run-${last}`, code, outputBytes: 1_000_000, valueBytes: 1_000_000 },
    timeoutMs: 120_000,
    handlers: { onStarted: () => {}, onOutput: () => {}, onCall: async () => ({ ok: true, value: null }) },
    ...options,
  };
}

const call = 'globalThis[Symbol.for("workcell.runtime")].callTool';
const leftovers = async () => (await readdir(join(root, 'files/.workcell/calls')).catch(() => [])).join();

describe('a program on a server of the 0.2 line', () => {
  it('calls tools, writes output, and returns a value, whatever the server loses and claims', async () => {
    const executor = await open({ claimsToRun: 2 });
    const asked: unknown[] = [];
    const run = await executor.execute(
      program(
        `import { writeFileSync } from 'node:fs';
         console.log('before'); console.error('warning');
         const sum = await ${call}('calc', 'add', { a: 1, b: 2 });
         writeFileSync('/workspace/state.txt', String(sum));
         console.log('x'.repeat(300000)); console.log('the very end');
         export default { sum };`,
        {
          handlers: {
            onStarted: () => {},
            onOutput: () => {},
            onCall: async (request) => {
              asked.push(request);
              return { ok: true, value: 3 };
            },
          },
        },
      ),
    );
    expect(run).toMatchObject({ status: 'completed', value: { sum: 3 }, stderr: 'warning\n', error: null });
    expect(run.stdout).toBe(`before\n${'x'.repeat(300_000)}\nthe very end\n`);
    expect(asked).toMatchObject([{ server: 'calc', tool: 'add', input: { a: 1, b: 2 } }]);
    expect(await readFile(join(root, 'files/state.txt'), 'utf8')).toBe('3');
    expect(run.sandbox).toEqual({ id: 'ann/workcell-1', driver: 'unknown', isolation: 'process', boot: 'cold' });
    expect(server.calls.filter((each) => each.startsWith('sandbox.start'))).toEqual(['sandbox.start ann/workcell-1']);
  });

  it('shares the sandbox with the next ones, also at the same time', async () => {
    const executor = await open();
    await executor.execute(program('export default 0'));
    const runs = await Promise.all([1, 2, 3].map((n) => executor.execute(program(`export default ${n}`))));
    expect(runs.map(({ value, sandbox }) => [value, sandbox.boot])).toEqual([1, 2, 3].map((n) => [n, 'warm']));
    expect(server.calls.filter((each) => each.startsWith('sandbox.start'))).toHaveLength(1);
  });

  it('runs on a node that has no hooks for modules in the same thread, too', async () => {
    const node = join(root, 'node');
    await mkdir(node);
    const hide = 'const m = require("module"); m.registerHooks = undefined; m.syncBuiltinESMExports();';
    await writeFile(join(node, 'hide.cjs'), hide);
    const start = `export NODE_OPTIONS=--require=/node/hide.cjs\nexec ${process.execPath} "$@"\n`;
    await writeFile(join(node, 'node'), `#!/bin/sh\n${start}`, { mode: 0o755 });
    await writeFile(join(root, 'skills/double.mjs'), 'export const double = (n) => 2 * n;\n');
    const executor = await open({ node });
    const hooks = "import { registerHooks } from 'node:module';";
    const skill = "import { double } from 'skills/double';";
    const code = `${hooks} ${skill} export default [typeof registerHooks, double(2), await ${call}('a', 'b', {})]`;
    expect(await executor.execute(program(code))).toMatchObject({ status: 'completed', value: ['undefined', 4, null] });
    const failed = await executor.execute(program('\n\nthrow new Error("on line 3")'));
    expect(failed.error?.stack).toContain(`${PROGRAM_URL}:3:`);
  });

  it('that throws, exits or does not end is a result, and the next one runs', async () => {
    const executor = await open();
    const statuses = async (...programs: ExecuteProgram[]) => {
      const runs: ProgramRun[] = [];
      for (const each of programs) runs.push(await executor.execute(each));
      return runs.map(({ status, error, exitCode }) => [status, error?.name ?? null, exitCode]);
    };
    expect(
      await statuses(
        program('throw new TypeError("no")'),
        program('process.exit(3)'),
        program('for (;;) {}', { timeoutMs: 1_000 }),
        program('export default 1'),
      ),
    ).toEqual([
      ['failed', 'TypeError', null],
      ['failed', 'ExitError', 3],
      ['timed_out', 'TimeoutError', null],
      ['completed', null, 0],
    ]);
  });

  it('that stops its own runner is ended with its sandbox when its time is up', async () => {
    const executor = await open();
    const code = 'process.kill(process.ppid, "SIGSTOP"); for (;;) {}';
    expect(await executor.execute(program(code, { timeoutMs: 1_000 }))).toMatchObject({ status: 'timed_out' });
    expect(server.calls.at(-1)).toBe('sandbox.stop ann/workcell-1');
    expect(await executor.execute(program('export default 1'))).toMatchObject({ value: 1, sandbox: { boot: 'cold' } });
  });

  it('is lost with its sandbox, and the next one gets a new one', async () => {
    const executor = await open();
    const running = executor.execute(
      program('console.log("on"); setInterval(() => {}, 1000)', {
        handlers: { onStarted: () => {}, onOutput: () => server.crash(), onCall: async () => ({ ok: true, value: 0 }) },
      }),
    );
    await expect(running).rejects.toMatchObject({ code: 'sandbox_lost', message: expect.stringContaining('its log') });
    expect(await executor.execute(program('export default 1'))).toMatchObject({ value: 1 });
  });

  it('cannot make the host follow a link that it puts into the mailbox', async () => {
    await writeFile(join(root, 'other/secret.json'), '{"t":"done"}\n');
    const executor = await open();
    const code = `
      import { readdirSync, symlinkSync } from 'node:fs';
      const [folder] = readdirSync('/workspace/.workcell/calls/workcell-1');
      for (let n = 0; n < 50; n++) try {
        symlinkSync(${JSON.stringify(join(root, 'other/secret.json'))},
          '/workspace/.workcell/calls/workcell-1/' + folder + '/to-host/' + String(n).padStart(10, '0'));
      } catch {}
      setInterval(() => {}, 1000);`;
    await expect(executor.execute(program(code))).rejects.toThrow(/symbolic link/);
  });
});

describe('a sandbox on a server of the 0.2 line', () => {
  it('that somebody left under the same name, with other mounts, is stopped first', async () => {
    const executor = await open();
    await writeFile(join(root, 'files/mine.txt'), 'mine');
    const body = (method: string, params: object) => JSON.stringify({ jsonrpc: '2.0', id: '1', method, params });
    const named = { namespace: 'ann', sandbox: 'workcell-1' };
    const config = { image: 'x', volumes: [`${root}/other:/workspace`] };
    await fetch(`${server.url}/api/v1/rpc`, {
      method: 'POST',
      headers: { authorization: `Bearer ${DOUBLE_KEY}` },
      body: body('sandbox.start', { ...named, config }),
    });
    const code = `import { readFileSync } from 'node:fs'; export default readFileSync('/workspace/mine.txt', 'utf8')`;
    expect(await executor.execute(program(code))).toMatchObject({ value: 'mine' });
  });

  it('of another process has another name', async () => {
    const executor = await open();
    await executor.execute(program('export default 1'));
    const second = await open();
    expect((await second.execute(program('export default 1'))).sandbox.id).toBe('ann/workcell-2');
  });

  it('that never runs is an error with what is likely, and is stopped', async () => {
    const executor = await open({ claimsToRun: Number.POSITIVE_INFINITY }, { bootTimeoutMs: 4_000 });
    await expect(executor.execute(program('export default 1'))).rejects.toMatchObject({
      code: 'sandbox_boot_failed',
      message: expect.stringMatching(
        /Waiting for the sandbox to run took longer than [1-4]\.[0-9] s; the last attempt: .*"Internal server error": likely/,
      ),
    });
    await eventually(() => server.calls.at(-1)?.startsWith('sandbox.stop'));
    expect(await leftovers()).toBe('');
  });

  it.each([
    ['read-only', { type: 'bind', host: '/srv', guest: '/srv', options: { readonly: true } }, 'unsupported'],
    ['with a colon', { type: 'bind', host: '/a:b', guest: '/srv' }, 'unsupported'],
    ['within another', { type: 'bind', host: '/srv', guest: '/workspace/x' }, 'sandbox_boot_failed'],
  ] as const)('cannot have a mount %s', async (_what, mount, code) => {
    const executor = await open();
    const { mounts } = program('');
    await expect(executor.execute(program('export default 1', { mounts: [...mounts, mount] }))).rejects.toMatchObject({
      code,
    });
  });

  it('is not started with a wrong key, nor where nobody listens', async () => {
    const executor = await open({}, { key: 'msb_wrong' });
    await expect(executor.execute(program('export default 1'))).rejects.toMatchObject({ code: 'unauthenticated' });
    await server[Symbol.asyncDispose]();
    await expect(executor.execute(program('export default 1'))).rejects.toMatchObject({ code: 'server_unreachable' });
  });

  it('is in a namespace of its customer, also when the id has a dot, which no namespace may have', async () => {
    const executor = await open();
    const namespaceOf = async (customer: string) => {
      let namespace = '';
      await executor.execute(
        program('export default 1', {
          customer,
          onSandbox: ({ id }) => {
            namespace = id.split('/')[0] ?? '';
          },
        }),
      );
      return namespace;
    };
    expect(await namespaceOf('bob')).toBe('bob');
    const dotted = await namespaceOf('acme.bob');
    expect(dotted).toMatch(/^customer-[0-9a-f]{40}$/);
    expect(await namespaceOf(dotted)).toMatch(/^customer-[0-9a-f]{40}$/);
    expect(await namespaceOf(dotted)).not.toBe(dotted);
  });

  it('is not started when the customer has put a link where its mailbox belongs', async () => {
    await symlink(join(root, 'other'), join(root, 'files/.workcell'));
    const executor = await open();
    await expect(executor.execute(program('export default 1'))).rejects.toMatchObject({ code: 'invalid_state' });
    expect(await readdir(join(root, 'other'))).toEqual([]);
  });

  it('leaves nothing behind when the executor is closed', async () => {
    const executor = await open();
    await executor.execute(program('export default 1'));
    await executor[Symbol.asyncDispose]();
    expect(server.calls.at(-1)).toBe('sandbox.stop ann/workcell-1');
    expect(await leftovers()).toBe('');
    expect(await readdir(join(root, 'slots'))).toEqual([]);
  });
});
