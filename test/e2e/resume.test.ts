// Executions that were cut off run again, with the answers of their log.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Language } from '../../src/core/execution.ts';
import type { Customer } from '../../src/workcell/customer.ts';
import { type Cell, openCell } from '../support/cell.ts';
import { cli } from '../support/cli.ts';
import { stdioServer } from '../support/mcp-servers.ts';
import { descendantsNamed, eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

let counters: TempFolder;
let cell: Cell;
let ann: Customer;

beforeAll(async () => {
  counters = await tempFolder();
  const program = join(import.meta.dirname, '../support/counter-server.ts');
  const server = (mode: string) => stdioServer(process.execPath, [program, join(counters.path, mode), mode]);
  cell = await openCell({
    mcpServers: { keyed: { ...server('keyed'), idempotencyKey: true }, plain: server('plain') },
    sandbox: { driver: 'bubblewrap', isolation: 'process' },
    limits: { toolCalls: 40 },
  });
  ann = cell.workcell.customer('ann');
});

afterAll(async () => {
  await cell?.[Symbol.asyncDispose]();
  await counters?.[Symbol.asyncDispose]();
});

async function count(mode: 'keyed' | 'plain', counter: string): Promise<number> {
  return (await readdir(join(counters.path, mode, counter)).catch(() => [])).length;
}

interface CutOff {
  readonly code: string;
  readonly session: string;
  readonly language?: Language;
  readonly timeoutMs?: number;
}

/** Runs a program until it prints `cut`, and then takes its sandbox away. */
async function cutOff({ session, ...request }: CutOff): Promise<string> {
  const { id } = await ann.start({ executionId: `exe-${session}`, session, ...request });
  await awaitCut(id);
  return id;
}

/** `after`: the last event that is no news. */
async function awaitCut(id: string, after = 0): Promise<void> {
  for await (const event of ann.watch(id, { after, follow: true })) {
    if (event.type === 'stdout' && event.text.includes('cut')) {
      for (const pid of await descendantsNamed('bwrap')) process.kill(pid, 'SIGKILL');
    }
    if (event.type === 'finished') expect(event.result).toMatchObject({ status: 'interrupted' });
  }
  await eventually(async () => (await descendantsNamed('bwrap')).length === 0);
}

async function resumed(id: string, replay = true) {
  return await (await ann.resumeExecution(id, { replay })).result();
}

const HANG = 'await new Promise(() => setInterval(() => {}, 1000));';
const CUT = `if (session.attempt === 1) { console.log('cut'); ${HANG} }`;

describe('a replay', () => {
  it('answers the calls that had returned from the log, in any order, and makes the others', async () => {
    const code = `
      import { increment, read } from 'servers/keyed';
      import { session } from 'servers/runtime';
      const one = (mark) => increment({ counter: 'a', mark });
      const marks = session.attempt === 1 ? ['x', 'y', 'y'] : ['y', 'x', 'y'];
      const counts = await Promise.all(marks.map(one));
      ${CUT}
      counts.push(await one('y'));
      return { attempt: session.attempt, marks: counts.map(({ mark }) => mark), read: (await read({ counter: 'a' })).marks };`;
    const id = await cutOff({ code, session: 'order' });
    const result = await resumed(id);
    expect(result).toMatchObject({
      executionId: id,
      status: 'completed',
      value: { attempt: 2, marks: ['y', 'x', 'y', 'y'], read: ['x', 'y', 'y', 'y'] },
      calls: [1, 2, 3, 4, 5].map((seq) => ({ seq, ok: true })),
    });
    expect(result.stdout).toBe('');
    expect(await count('keyed', 'a')).toBe(4);
    const events = await Array.fromAsync(ann.watch(id));
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(events.filter(({ type }) => type === 'tool.called')).toHaveLength(5);
  });

  it('throws the same errors again, and spends the same budget', async () => {
    const code = `
      import { callTool, session } from 'servers/runtime';
      import { increment } from 'servers/plain';
      const codes = [];
      const attempt = (call) => call.then(() => codes.push('ok'), ({ code, message }) => codes.push(code + message.length));
      for (let n = 0; n < 25; n++) await attempt(increment({ counter: 'budget' }));
      await attempt(callTool('plain', 'increment', { counter: 5 }));
      await attempt(callTool('plain', 'unheard of', {}));
      ${CUT}
      for (let n = 0; n < 25; n++) await attempt(increment({ counter: 'budget' }));
      return codes;`;
    const id = await cutOff({ code, session: 'budget' });
    const { value } = await resumed(id);
    const codes = (value as string[]).map((each) => each.replace(/\d+$/, ''));
    expect(codes.slice(0, 27)).toEqual([...Array(25).fill('ok'), 'invalid_arguments', 'not_selected']);
    expect(codes.slice(27)).toEqual([...Array(15).fill('ok'), ...Array(10).fill('budget_exhausted')]);
    expect(await count('plain', 'budget')).toBe(40);
  });

  it('that diverges sends nothing, and fails naming both calls', async () => {
    const code = `
      import { increment } from 'servers/keyed';
      import { session } from 'servers/runtime';
      try {
        await increment({ counter: 'time', mark: 'at ' + session.attempt });
      } catch (error) {
        return 'caught ' + error.code;
      }
      ${CUT}`;
    const id = await cutOff({ code, session: 'diverged' });
    expect(await resumed(id)).toMatchObject({
      status: 'failed',
      value: null,
      error: {
        name: 'ToolError',
        message: expect.stringMatching(
          /called keyed\.increment\(\{"counter":"time","mark":"at 2"\}\).*call 1 of its log, keyed\.increment\(\{"counter":"time","mark":"at 1"\}\)/,
        ),
        fields: { code: 'replay_diverged', details: { logged: { call: 1 } } },
      },
    });
    expect(await count('keyed', 'time')).toBe(1);
    await expect(resumed(id)).rejects.toMatchObject({ code: 'invalid_state' });
  });

  it('that ends without a call that it had made fails, whatever it returns', async () => {
    const code = `
      import { increment } from 'servers/keyed';
      import { session } from 'servers/runtime';
      if (session.attempt > 1) return 'done';
      await increment({ counter: 'left' });
      ${CUT}`;
    const id = await cutOff({ code, session: 'left' });
    expect(await resumed(id)).toMatchObject({
      status: 'failed',
      error: { message: expect.stringContaining('it ended, and has not made call 1 of its log, keyed.increment(') },
    });
  });
});

describe('a call whose fate is unknown', () => {
  it('is sent again with the same key to a server that knows keys, and else is outcome_unknown, the next time, too', async () => {
    const code = `
      import { increment as keyed, read as readKeyed } from 'servers/keyed';
      import { increment as plain, read as readPlain } from 'servers/plain';
      import { session } from 'servers/runtime';
      const settled = [keyed, plain].map((increment) =>
        increment({ counter: 'fate', waitMs: 60_000 }).then(({ count }) => count, ({ code }) => code));
      for (const read of [readKeyed, readPlain]) while ((await read({ counter: 'fate' })).marks.length === 0)
        // Each look is one of the calls that it may make.
        await new Promise((done) => setTimeout(done, 200));
      ${CUT}
      const fates = await Promise.all(settled);
      if (session.attempt === 2) { console.log('cut again'); ${HANG} }
      return fates;`;
    const id = await cutOff({ code, session: 'fate' });
    expect([await count('keyed', 'fate'), await count('plain', 'fate')]).toEqual([1, 1]);
    const { lastSeq } = await ann.executionSummary(id);
    await ann.resumeExecution(id, { replay: true });
    await awaitCut(id, lastSeq);
    expect(await resumed(id)).toMatchObject({ status: 'completed', value: [1, 'outcome_unknown'] });
    expect([await count('keyed', 'fate'), await count('plain', 'fate')]).toEqual([1, 1]);
  });

  it('is not sent again where its session was imported for another customer, whose keys are others', async () => {
    const code = `
      import { increment, read } from 'servers/keyed';
      import { session } from 'servers/runtime';
      const fate = increment({ counter: 'moved', waitMs: 60_000 }).then(({ count }) => count, ({ code }) => code);
      while ((await read({ counter: 'moved' })).marks.length === 0);
      ${CUT}
      return await fate;`;
    const id = await cutOff({ code, session: 'moved' });
    const bob = cell.workcell.customer('bob');
    await bob.importSession(await ann.exportSession('moved', { files: false }));
    expect(await (await bob.resumeExecution(id, { replay: true })).result()).toMatchObject({
      value: 'outcome_unknown',
    });
    expect(await resumed(id)).toMatchObject({ value: 1 });
    expect(await count('keyed', 'moved')).toBe(1);
  });
});

describe('a program', () => {
  const MARK = { typescript: 'return', python: 'result =' } as const;

  it.each(['typescript', 'python'] as const)(
    'in %s finds the checkpoint and the outcomes of its session',
    async (language) => {
      const session = `memory-${language}`;
      const imports =
        language === 'python'
          ? 'from servers.runtime import checkpoint, session'
          : "import { checkpoint, session } from 'servers/runtime';";
      const told =
        language === 'python'
          ? '[session.id, session.attempt, session.checkpoint, session.history]'
          : '[session.id, session.attempt, session.checkpoint, session.history];';
      const wait = language === 'python' ? '' : 'await ';
      const set = `${wait}checkpoint("fetched", {"page": [1, 2]})`;
      const first = await ann.execute({ session, language, code: `${imports}\n${set}\n${MARK[language]} ${told}` });
      expect(first).toMatchObject({ status: 'completed', value: [session, 1, null, []] });
      const second = await ann.execute({
        session,
        language,
        task: 'look',
        tools: [],
        code: `${imports}\n${MARK[language]} ${told}`,
      });
      const past = { executionId: first.executionId, task: null, status: 'completed', value: first.value };
      expect(second.value).toEqual([
        session,
        1,
        { step: 'fetched', lastTask: null, context: { page: [1, 2] } },
        [past],
      ]);
    },
  );

  it.each(['typescript', 'python'] as const)('in %s is told why a checkpoint cannot be kept', async (language) => {
    const python = `
from servers.runtime import ToolError, checkpoint, session
result = []
for step, context in [(-1, None), ("", None), ("x" * 201, None), ([], None), (1, "x" * 262143), (1, "x" * 262142)]:
    try:
        checkpoint(step, context)
        result.append("kept")
    except ToolError as error:
        result.append(error.code)
try:
    checkpoint(1, {1, 2})
except TypeError:
    result.append("TypeError")`;
    const typescript = `
import { checkpoint } from 'servers/runtime';
const steps: [any, any?][] = [[-1], [''], ['x'.repeat(201)], [[]], [1, 'x'.repeat(262143)], [1, 'x'.repeat(262142)], [1, 1n]];
const codes = [];
for (const [step, context] of steps) await checkpoint(step, context).then(() => codes.push('kept'), (e) => codes.push(e.code ?? e.name));
return codes;`;
    const { value, error } = await ann.execute({ language, code: language === 'python' ? python : typescript });
    expect([value, error]).toEqual([[...Array(5).fill('invalid_arguments'), 'kept', 'TypeError'], null]);
  });

  it('that is replayed finds what it found first, and one that is only run again the latest', async () => {
    const code = `
      import { checkpoint, session } from 'servers/runtime';
      import { increment } from 'servers/plain';
      await increment({ counter: 'again' + (session.checkpoint?.step ?? '') });
      if (session.attempt === 1) await checkpoint(1);
      if (session.attempt < 3) { await checkpoint(2, 'two'); console.log('cut'); ${HANG} }
      return [session.attempt, session.checkpoint];`;
    const id = await cutOff({ code, session: 'again' });
    const { lastSeq } = await ann.executionSummary(id);
    await ann.resumeExecution(id, { replay: true });
    await awaitCut(id, lastSeq);
    expect([await count('plain', 'again'), await count('plain', 'again2')]).toEqual([1, 0]);
    const checkpoint = { step: 2, lastTask: null, context: 'two' };
    expect(await resumed(id, false)).toMatchObject({ status: 'completed', value: [3, checkpoint] });
    expect([await count('plain', 'again'), await count('plain', 'again2')]).toEqual([1, 1]);
  });
});

describe('the command line', () => {
  const run = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await cli(['session', ...args, '--customer', 'ann'], { cwd: cell.folder });
    return { code, stderr, out: args.includes('--json') ? (JSON.parse(stdout) as unknown) : stdout };
  };

  it('resumes a session, sets its checkpoint and closes it', async () => {
    const code = `
      import { increment } from 'servers/keyed';
      import { session } from 'servers/runtime';
      const { count } = await increment({ counter: 'cli' });
      ${CUT}
      return count;`;
    const id = await cutOff({ code, session: 'cli' });
    expect(await run('checkpoint', 'cli', '--step', 'half way', '--context', '{"n":1}', '--json')).toMatchObject({
      code: 0,
      out: { step: 'half way', context: { n: 1 } },
    });
    expect(await run('close', 'cli', '--json')).toMatchObject({ code: 0, out: { closed: 'cli' } });
    await expect(ann.execute({ session: 'cli', code: '' })).rejects.toMatchObject({ code: 'invalid_state' });
    expect(await run('resume', 'cli', '--json')).toMatchObject({
      code: 0,
      out: { interrupted: [id], paused: [], checkpoint: { step: 'half way' }, results: [] },
    });
    expect(await run('resume', 'cli', '--replay', '--json')).toMatchObject({
      code: 0,
      out: { interrupted: [id], results: [{ executionId: id, status: 'completed', value: 1 }] },
    });
    expect(await count('keyed', 'cli')).toBe(1);
    const over = await run('resume', 'cli', '--replay');
    expect([over.code, over.stderr]).toEqual([0, expect.stringContaining('cut off: nothing')]);
    expect(await run('resume', 'unheard-of', '--json')).toMatchObject({
      code: 2,
      out: { error: { code: 'not_found' } },
    });
    expect(await run('checkpoint', 'cli', '--context', '{}')).toMatchObject({ code: 2 });
  });
});
