import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExecuteRequest } from '../../src/workcell/execute-request.ts';
import { type Cell, openCell } from '../support/cell.ts';
import { cli } from '../support/cli.ts';
import { doubleServer, officialServers } from '../support/mcp-servers.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const OUTPUT = 1000;
const VALUE = 1000;
const BUBBLEWRAP = { driver: 'bubblewrap', isolation: 'process', cpus: 1, memory: '512MB' };
const typed = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'], additionalProperties: false };

let folder: TempFolder;
let cell: Cell;

beforeAll(async () => {
  folder = await tempFolder();
  const tools = [
    { name: 'typed', inputSchema: typed },
    { name: 'fail', inputSchema: typed },
  ];
  cell = await openCell({
    mcpServers: { memory: officialServers(folder.path).memory, 'my-double': doubleServer({ tools }) },
    sandbox: BUBBLEWRAP,
    limits: { output: OUTPUT, value: VALUE },
  });
});

afterAll(async () => {
  await cell?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

const run = (code: string, options: Omit<ExecuteRequest, 'code'> = {}) =>
  cell.workcell.customer('ann').execute({ code, language: 'python', ...options });

const resultOf = async (code: string, options: Omit<ExecuteRequest, 'code'> = {}) => {
  const { status, value, error } = await run(code, options);
  expect({ status, error }).toEqual({ status: 'completed', error: null });
  return value;
};

describe('the value of a Python program', () => {
  it.each([
    ['x = 1', null],
    ['result = {"a": [1, 2.5, None, True, "ü🐍"]}', { a: [1, 2.5, null, true, 'ü🐍'] }],
    ['result = (1, (2, 3))', [1, [2, 3]]],
    ['result = 1\nresult = 2', 2],
    ['emit(1)', 1],
    ['emit(1)\nemit(2)', 2],
    ['emit(1)\nresult = 2', 1],
    ['emit(None)\nresult = 2', null],
    ['x = [1]\nemit(x)\nx.append(2)', [1]],
    ['result = 2**53 - 1', 2 ** 53 - 1],
    ['result = "12345678901234567890"', '12345678901234567890'],
    ['result = "\\ud800\\n\\\\"', '\ud800\n\\'],
    ['result = 1\nimport sys\nsys.exit()', 1],
    ['if __name__ == "__main__":\n  result = __file__', '/workspace/program.py'],
    ['import asyncio\nasync def main():\n  return 1\nresult = asyncio.run(main())', 1],
    ['from dataclasses import asdict, dataclass\n@dataclass\nclass A:\n  n: int\nresult = asdict(A(1))', { n: 1 }],
  ])('of %j is what it says', async (code, expected) => {
    expect(await resultOf(code)).toEqual(expected);
  });

  it.each([
    ['result = {1, 2}', 'result is of type set'],
    ['result = {"a": [0, float("nan")]}', "result['a'][1] is nan"],
    ['result = float("-inf")', 'result is -inf'],
    ['result = [2**53]', 'result[0] is an integer beyond 2**53'],
    ['result = {(1, 2): 3}', 'result has a key of type tuple'],
    ['class D(dict):\n  def items(self): raise LookupError("no items")\nresult = D(a=1)', 'no items', 'LookupError'],
    ['result = []\nresult.append(result)', 'it is nested too deeply, or holds itself'],
    ['import datetime\nresult = datetime.date(2026, 1, 1)', 'result is of type date'],
  ])('of %j is refused: %s', async (code, reason, name = 'TypeError') => {
    const { status, error } = await run(code);
    expect(status).toBe('failed');
    expect(error).toMatchObject({ name, message: expect.stringContaining(reason) });
  });

  it('that JSON has no word for is an error at the line that emits it', async () => {
    expect((await run('\nemit(\n  {"a": b""})')).error).toMatchObject({
      name: 'TypeError',
      message: "The emitted value cannot be written as JSON: value['a'] is of type bytes",
      line: 2,
    });
  });

  it.each([
    [VALUE - 1, 'completed'],
    [VALUE, 'completed'],
    [VALUE + 1, 'limit_exceeded'],
  ])('of %i bytes of JSON: %s', async (bytes, status) => {
    // A letter of two bytes that JSON could also escape with six.
    const result = await run(`result = 'ü' + 'x' * (${bytes} - 4)`);
    expect(result.status).toBe(status);
    if (status === 'completed') expect(result.value).toBe(`ü${'x'.repeat(bytes - 4)}`);
    else expect(result).toMatchObject({ value: null, limit: 'output', error: { name: 'LimitError' } });
  });
});

describe('the output of a Python program', () => {
  it('arrives line by line while it runs', async () => {
    let seen = '';
    const running = run(
      'import os, time\nprint("one")\nwhile not os.path.exists("go"): time.sleep(0.01)\nprint("two", end="")',
      {
        onEvent: (event) => {
          if (event.type === 'stdout') seen += event.text;
        },
      },
    );
    await eventually(() => seen === 'one\n');
    await writeFile(cell.hostPath('ann', 'go'), '');
    expect((await running).stdout).toBe('one\ntwo');
  });

  it.each([
    [OUTPUT - 1, false],
    [OUTPUT, false],
    [OUTPUT + 1, true],
  ])('of %i bytes is cut: %s', async (bytes, truncated) => {
    for (const stream of ['stdout', 'stderr'] as const) {
      const result = await run(`import sys\nsys.${stream}.write('x' * ${bytes})`);
      expect(result[stream]).toBe('x'.repeat(Math.min(bytes, OUTPUT)));
      expect(result).toMatchObject({ status: 'completed', output: { [`${stream}Bytes`]: bytes, truncated } });
    }
  });

  it('into files that it leaves open is on disk at the end', async () => {
    await resultOf('f = open("kept.txt", "w")\nf.write("kept")');
    expect(await readFile(cell.hostPath('ann', 'kept.txt'), 'utf8')).toBe('kept');
  });

  it('is UTF-8, and its input is empty', async () => {
    const result = await run('print("ü🐍")\ninput()');
    expect(result).toMatchObject({ stdout: 'ü🐍\n', status: 'failed', error: { name: 'EOFError', line: 2 } });
  });
});

describe('a Python program that fails', () => {
  it('does so at the line of its author, with what it had called', async () => {
    // Another file of this name must not be taken for the program.
    await mkdir(cell.hostPath('ann', '.'), { recursive: true });
    await writeFile(cell.hostPath('ann', 'program.py'), 'other\n'.repeat(20));
    const code = '"""Doc."""\nfrom __future__ import annotations\n\ndef half(n):\n    return n / 0\n\nhalf(1)\n';
    const result = await run(code, { tools: ['memory.read_graph'] });
    expect(result).toMatchObject({ status: 'failed', value: null, exitCode: null });
    expect(result.error).toEqual({
      name: 'ZeroDivisionError',
      message: 'division by zero',
      line: 5,
      stack: expect.stringMatching(
        /^Traceback \(most recent call last\):\n {2}File "program\.py", line 7, in <module>\n {4}half\(1\)\n {2}File "program\.py", line 5, in half\n {4}return n \/ 0\n(?: +[~^]+\n)?ZeroDivisionError: division by zero$/,
      ),
    });
    expect(result.program).toBe(
      '"""Doc."""\nfrom __future__ import annotations\n\nfrom servers.memory import read_graph\n\n\ndef half(n):\n    return n / 0\n\nhalf(1)\n',
    );
  });

  it.each([
    ['x = 1\nif x\n  pass', 2, "expected ':'"],
    ['x = 1\n\n  y = 2', 3, 'unexpected indent'],
    ["x = 'abc\n", 1, 'unterminated string literal'],
    ['x = 1\nawait x', 2, "'await' outside function"],
    ['x = 1\nreturn x', 2, "'return' outside function"],
  ])('to compile says so with its line: %j', async (code, line, message) => {
    const { status, error } = await run(code);
    expect(status).toBe('failed');
    expect(error).toMatchObject({ line, message: expect.stringContaining(message) });
    expect(error?.stack).toContain(`File "program.py", line ${line}\n    ${code.split('\n')[line - 1]?.trim()}\n`);
    expect(error?.stack).not.toContain('other');
  });

  it('tells the fields of what it raised, and its cause', async () => {
    const code = `class Odd(Exception):
  def __init__(self):
    super().__init__("odd")
    self.code, self.more, self.lock = 7, {"a": (1,)}, object()
try:
  {}["missing"]
except KeyError as error:
  raise Odd() from error`;
    const { error } = await run(code);
    expect(error).toMatchObject({ name: 'Odd', message: 'odd', line: 8, fields: { code: 7, more: { a: [1] } } });
    expect(error?.fields).not.toHaveProperty('lock');
    expect(error?.stack).toMatch(/line 6, in <module>[\s\S]*KeyError: 'missing'[\s\S]*direct cause[\s\S]*line 8/);
  });

  it.each([
    ['import sys\nprint("p", end="")\nsys.exit(3)', 3, 'p', ''],
    ['import sys\nsys.exit("because")', 1, '', 'because\n'],
    ['import os\nos._exit(4)', 4, '', ''],
  ])('by an exit code: %j', async (code, exitCode, stdout, stderr) => {
    const result = await run(code);
    expect(result).toMatchObject({ status: 'failed', exitCode, stdout, stderr, error: { name: 'ExitError' } });
  });

  it('with what cannot be told is a failure all the same', async () => {
    const code = 'class constructor(Exception):\n  def __str__(self): raise self\nraise constructor()';
    expect(await run(code)).toMatchObject({ status: 'failed', limit: null, error: { name: 'constructor' } });
  });
});

describe('the tools of a Python program', () => {
  it('are those that it imports, under the name that Python allows', async () => {
    const code = `from servers.memory import create_entities, read_graph
from servers.my_double import typed
create_entities(entities=[{"name": "Ada", "entityType": "person", "observations": ["first"]}])
result = [entity["name"] for entity in read_graph()["entities"]], typed(n=1)["arguments"]`;
    const result = await run(code);
    expect(result.error).toBeNull();
    expect(result).toMatchObject({
      language: 'python',
      program: code,
      value: [['Ada'], { n: 1 }],
      selection: { mode: 'imports' },
      calls: [
        { tool: 'create_entities', ok: true },
        { tool: 'read_graph', ok: true },
        { server: 'my-double', ok: true },
      ],
    });
    expect(result.selection.tools).toHaveLength(3);
  });

  it('that fit the task are imported for it', async () => {
    const result = await run('result = list(read_graph())', { task: 'Read the entire knowledge graph' });
    expect(result).toMatchObject({ status: 'completed', selection: { mode: 'lexical' } });
    expect(result.value).toContain('entities');
    expect(result.program).toMatch(/^from servers\.memory import .*read_graph.*\n\nresult = list/);
  });

  it('without a Python module are not for it, whoever names them', async () => {
    expect((await run('result = 1', { task: 'Calculate 5 + 3' })).selection.tools).toEqual([]);
    await expect(run('result = 1', { tools: ['calculator.add'] })).rejects.toMatchObject({ code: 'unsupported' });
    expect(await run('import servers.calculator')).toMatchObject({
      error: { name: 'ModuleNotFoundError', message: expect.stringContaining('TypeScript'), line: 1 },
    });
  });

  it.each([
    ['typed', 'n=1', 'not_selected'],
    ['fail', 'n="one"', 'invalid_arguments'],
    ['fail', 'n=1', 'tool_failed'],
  ])('raise what can be caught and told apart: %s(%s) is %s', async (tool, input, code) => {
    const program = `import importlib
from servers.runtime import ToolError
tool = getattr(importlib.import_module("servers.my_double"), "${tool}")
try:
  tool(${input})
except ToolError as error:
  result = [error.server, error.tool, error.code, error.retryable, str(error) == error.message]`;
    expect(await resultOf(program, { tools: ['my-double.fail'] })).toEqual(['my-double', tool, code, false, true]);
  });

  it('that fail and are not caught are the error of the program', async () => {
    const { error } = await run('from servers.my_double import fail\n\nfail(n=1)');
    expect(error).toMatchObject({
      name: 'ToolError',
      line: 3,
      fields: { server: 'my-double', tool: 'fail', code: 'tool_failed', retryable: false },
    });
    expect(error?.stack).not.toMatch(/runner\.py|runtime\.py/);
  });

  it('are called from 50 threads at once, and no answer goes astray', async () => {
    const code = `from concurrent.futures import ThreadPoolExecutor
from servers.my_double import typed
with ThreadPoolExecutor(50) as pool:
  result = [answer["arguments"]["n"] for answer in pool.map(lambda n: typed(n=n), range(50))]`;
    expect(await resultOf(code)).toEqual(Array.from({ length: 50 }, (_, n) => n));
  });

  it('are for the process of the program alone', async () => {
    const code = `import os
from servers.my_double import typed
result = typed(n=1)["arguments"]["n"]
if os.fork() == 0:
  typed(n=2)
os.wait()`;
    const { status, value, calls, stderr } = await run(code);
    expect({ status, value }).toEqual({ status: 'completed', value: 1 });
    expect(calls).toHaveLength(1);
    expect(stderr).toContain('RuntimeError: Tools can be called in the program');
  });
});

describe('a Python program that is checked first', () => {
  const checked = { typeCheck: true } as const;
  const entity = (fields: string) =>
    `from servers.memory import create_entities\nprint("ran")\n\nmade = create_entities(entities=[{${fields}}])\nresult = len(made["entities"])`;

  it('and calls tools wrongly is answered with all mistakes at its lines, and nothing of it has run', async () => {
    const code = `${entity('"name": "Eve", "observations": "none"')}\ncreate_entities(entity=[])`;
    const result = await run(code, checked);
    expect(result).toMatchObject({ status: 'failed', value: null, stdout: '', stderr: '', calls: [] });
    const lacking = "entities[0] of create_entities() lacks 'entityType', which is str";
    const unknown = "create_entities() has no argument 'entity'; did you mean 'entities'?";
    expect(result.error).toMatchObject({
      name: 'TypeCheckError',
      message: `${lacking} (line 4; 3 more); nothing was run`,
      line: 4,
      stack: expect.stringContaining(
        '    at program.py:6:17\n\n    6 | create_entities(entity=[])\n      |                 ^',
      ),
      fields: {
        diagnostics: [
          { line: 4, column: 34, code: 'arg-type', message: lacking },
          { line: 4, column: 66, code: 'arg-type', message: expect.stringContaining("'none', not List[str]") },
          { line: 6, column: 1, code: 'call-arg', message: expect.stringContaining("needs 'entities'") },
          { line: 6, column: 17, code: 'call-arg', message: unknown },
        ],
      },
    });
  });

  it('and calls them rightly runs', async () => {
    const code = entity('"name": "Eve", "entityType": "person", "observations": ["first"]');
    expect(await run(code, checked)).toMatchObject({ status: 'completed', error: null, value: 1, stdout: 'ran\n' });
  });

  it('is checked against the tools that are imported for it', async () => {
    const { status, stdout, error } = await run('print("ran")\ntyped(n="1")', {
      ...checked,
      tools: ['my-double.typed'],
    });
    expect({ status, stdout }).toEqual({ status: 'failed', stdout: '' });
    expect(error).toMatchObject({ message: "n of typed() is '1', not float (line 2); nothing was run", line: 2 });
  });

  it('and cannot be compiled says so as ever', async () => {
    expect((await run('x = 1\nreturn x', checked)).error).toMatchObject({ name: 'SyntaxError', line: 2 });
  });
});

describe('a Python program that does not end', () => {
  const sleepers = () =>
    resultOf(
      'import subprocess\nresult = subprocess.run(["sh", "-c", "cat /proc/[0-9]*/comm"], capture_output=True, text=True).stdout',
    );

  it('is ended in time, with all that it has started', async () => {
    const code = `import os, signal, subprocess
for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(name, signal.SIG_IGN)
print("before")
subprocess.Popen(["sleep", "1000"], start_new_session=True)
os.fork()
while True: pass`;
    const result = await run(code, { timeoutMs: 5_000 });
    expect(result).toMatchObject({ status: 'timed_out', limit: 'time', value: null });
    expect(result.stdout).toMatch(/^before\n/);
    expect(await sleepers()).not.toMatch(/^sleep$/m);
  });

  it('but for its threads and children has ended', async () => {
    const code = `import os, subprocess, threading, time
def forever():
  while True: time.sleep(0.01)
threading.Thread(target=forever).start()
subprocess.Popen(["sleep", "1000"])
if os.fork() == 0: time.sleep(1000)
result = "done"`;
    expect(await resultOf(code, { timeoutMs: 20_000 })).toBe('done');
    expect(await sleepers()).not.toMatch(/^sleep$/m);
  });

  it('is ended when its caller leaves', async () => {
    const leaving = new AbortController();
    const running = run('print("started")\nwhile True: pass', {
      signal: leaving.signal,
      onEvent: ({ type }) => {
        if (type === 'stdout') leaving.abort();
      },
    });
    expect(await running).toMatchObject({ status: 'killed', stdout: 'started\n' });
  });
});

describe('what a Python program imports', () => {
  it('may lie in the workspace, and hides nothing of the standard library', async () => {
    await writeFile(cell.hostPath('ann', 'helpers.py'), 'import traceback\ndef twice(n):\n  return 2 * n\n');
    await writeFile(cell.hostPath('ann', 'traceback.py'), 'raise ValueError("hidden")\n');
    expect(await resultOf('from helpers import twice\nresult = twice(2)')).toBe(4);
  });

  it('may be a skill, the own one before the shared one of the same name', async () => {
    const [own, shared] = [join(cell.folder, 'workspaces/ann/skills'), join(cell.folder, 'skills')];
    for (const path of [`${own}/split-bill`, `${shared}/split-bill`, `${shared}/1st`]) await mkdir(path);
    await writeFile(`${own}/split-bill/__init__.py`, 'from .parts import share\n');
    await writeFile(`${own}/split-bill/parts.py`, 'def share(bill, people):\n  return bill / people\n');
    await writeFile(`${shared}/split-bill/__init__.py`, 'share = None\n');
    await writeFile(`${shared}/1st/__init__.py`, 'from servers.my_double import typed\nplace = 1\n');
    const code = 'from skills.split_bill import share\nfrom skills._1st import place\nresult = share(90, 3), place';
    expect(await resultOf(code)).toEqual([30, 1]);
  });

  it.each([
    ['import servers.nothing', 'There is no server "nothing" that a program can import'],
    ['from skills.nothing import x', 'There is no skill "nothing" that a program can import'],
  ])('and is not there is an error at its line: %s', async (code, message) => {
    expect((await run(`\n${code}`)).error).toMatchObject({ name: 'ModuleNotFoundError', message, line: 2 });
  });
});

describe('the language of a program', () => {
  it('is in the result and in the session, and each kind runs beside the other', async () => {
    const customer = cell.workcell.customer('ben');
    const python = await customer.execute({ code: 'result = "py"', language: 'python', session: 's' });
    const typescript = await customer.execute({ code: 'return "ts"', session: 's' });
    expect([python.language, python.value, typescript.language, typescript.value]).toEqual([
      'python',
      'py',
      'typescript',
      'ts',
    ]);
    expect((await customer.session('s')).tasks.map(({ language }) => language)).toEqual(['python', 'typescript']);
  });

  it('that nobody knows is refused', async () => {
    const language = 'ruby' as 'python';
    await expect(run('1', { language })).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  it('of a command is that of its file, or what it says', async () => {
    await writeFile(join(cell.folder, 'p.py'), 'import sys\nprint(sys.version_info.major)\nresult = {"a": 1}\n');
    const options = { cwd: cell.folder };
    const byFile = await cli(['run', '--file', 'p.py'], options);
    expect(byFile, byFile.stderr).toMatchObject({ code: 0, stdout: '3\n{\n  "a": 1\n}\n' });
    const said = await cli(['run', '--lang', 'py', '-', '--json'], { ...options, input: 'emit(__name__)' });
    expect(JSON.parse(said.stdout)).toMatchObject({ value: '__main__', language: 'python' });
    const unknown = await cli(['run', '--lang', 'rb', '-'], options);
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('Give typescript (ts) or python (py)') });
  });
});

it('an image without Python says what to do', async () => {
  await mkdir(join(folder.path, 'bare/bin'), { recursive: true });
  const sandbox = { ...BUBBLEWRAP, image: 'bare', images: { bare: join(folder.path, 'bare') } };
  await using bare = await openCell({ sandbox });
  const ann = bare.workcell.customer('ann');
  for (let time = 0; time < 2; time++) {
    expect(await ann.execute({ code: 'result = 1', language: 'python' })).toMatchObject({
      status: 'failed',
      error: {
        name: 'PythonUnavailableError',
        message: expect.stringMatching(/has no python3; set sandbox\.image to one that has Python 3\.9 or later/),
      },
    });
  }
  expect(await ann.execute({ code: 'return 1' })).toMatchObject({ status: 'completed', value: 1 });
});

it('a server that speaks JSON-RPC runs Python programs with their tools', async () => {
  const tools = [{ name: 'typed', inputSchema: typed }];
  const mcpServers = { 'my-double': doubleServer({ tools }) };
  await using other = await openCell({ mcpServers, sandbox: { ...BUBBLEWRAP, protocol: 'rpc' } });
  const code = 'from servers.my_double import typed\nresult = typed(n=1)["arguments"]["n"]\nprint("done")';
  const ann = other.workcell.customer('ann');
  const result = await ann.execute({ code, language: 'python', typeCheck: true });
  expect(result.error).toBeNull();
  expect(result).toMatchObject({ status: 'completed', value: 1, stdout: 'done\n', calls: [{ ok: true }] });
  const wrong = await ann.execute({ code: code.replace('n=1', 'm=1'), language: 'python', typeCheck: true });
  expect(wrong).toMatchObject({ status: 'failed', stdout: '', calls: [], error: { name: 'TypeCheckError', line: 2 } });
});

describe('in a virtual machine', () => {
  let machine: Cell;
  beforeAll(async () => {
    machine = await openCell({ mcpServers: { memory: officialServers(folder.path).memory } });
    await runThere('result = 0');
  });
  afterAll(() => machine?.[Symbol.asyncDispose]());

  const runThere = (code: string, timeoutMs?: number) =>
    machine.workcell.customer('ann').execute({ code, language: 'python', timeoutMs });

  it('a Python program calls tools, at once too, and fails at its line', async () => {
    const code = `from concurrent.futures import ThreadPoolExecutor
from servers.memory import open_nodes
with ThreadPoolExecutor(50) as pool:
  result = list(pool.map(lambda n: len(open_nodes(names=[str(n)])["entities"]), range(50)))`;
    const result = await runThere(code);
    expect(result.error).toBeNull();
    expect(result).toMatchObject({ value: Array(50).fill(0), sandbox: { driver: 'qemu' } });
    expect(result.calls.filter(({ ok }) => ok)).toHaveLength(50);
    expect(await runThere('x = 1\nraise ValueError(x)')).toMatchObject({ error: { name: 'ValueError', line: 2 } });
  });

  it('a program that runs out of memory ends alone', async () => {
    const before = await runThere('result = 1');
    expect(await runThere('a = []\nwhile True: a.append(bytearray(8 << 20))')).toMatchObject({
      status: 'limit_exceeded',
      limit: 'memory',
    });
    expect(await runThere('a = [0] * 10**15')).toMatchObject({
      status: 'limit_exceeded',
      limit: 'memory',
      error: { name: 'MemoryError', line: 1 },
    });
    const after = await runThere('result = 2');
    expect(after).toMatchObject({ status: 'completed', value: 2 });
    expect(after.sandbox?.id).toBe(before.sandbox?.id);
  });

  it('a program is ended in time, and leaves room for the next', async () => {
    expect(await runThere('while True: pass', 1_500)).toMatchObject({ status: 'timed_out' });
    expect(await runThere('result = 3')).toMatchObject({ status: 'completed', value: 3 });
  });
});
