import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Cell, openCell } from '../support/cell.ts';
import { cli } from '../support/cli.ts';
import { doubleServer } from '../support/mcp-servers.ts';

let cell: Cell;

beforeAll(async () => {
  cell = await openCell({
    mcpServers: { double: doubleServer({ tools: [{ name: 'echo', inputSchema: { type: 'object' } }] }) },
    sandbox: { driver: 'bubblewrap', isolation: 'process', cpus: 1, memory: '512MB' },
  });
});

afterAll(() => cell?.[Symbol.asyncDispose]());

const file = (name: string) => readFile(join(cell.folder, 'servers/double', name), 'utf8').catch(() => undefined);

it('what programs were answered becomes the type of the tool, in both languages', async () => {
  expect(await file('echo.ts')).toContain('export type EchoOutput = unknown;');
  const run = (code: string) => cell.workcell.customer('ann').execute({ code });
  const program = "import { echo } from 'servers/double'; return (await echo({ 'secret-7': 'secret-8' })).name;";
  expect(await run(program)).toMatchObject({ status: 'completed', value: 'echo' });

  expect(await file('echo.ts')).toContain('  name: string;');
  expect(await file('echo.py')).toContain('class EchoOutput(TypedDict):');
  expect(`${await file('observed.json')}${await file('echo.ts')}`).not.toContain('secret');
  expect(await run(program)).toMatchObject({ status: 'completed', value: 'echo' });
  const wrong = "import { echo } from 'servers/double'; return (await echo()).nothing;";
  expect(await run(wrong)).toMatchObject({ status: 'completed', value: null });
});

it.each([
  [[], 'function echo(input?: EchoInput): Promise<EchoOutput>;'],
  [['--lang', 'py'], 'def echo(input: Optional[EchoInput] = None, /) -> EchoOutput:'],
])('`workcell tools show double.echo %s` prints the definition', async (options, signature) => {
  const { code, stdout } = await cli(['tools', 'show', 'double.echo', ...options], { cwd: cell.folder });
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining(signature) });
  const json = await cli(['tools', 'show', 'double.echo', ...options, '--json'], { cwd: cell.folder });
  expect(JSON.parse(json.stdout)).toMatchObject({ server: 'double', tool: 'echo', definition: `${stdout}` });
});

it.each([
  [['double.ecko'], 2, 'did you mean double.echo'],
  [['calculator.add', '--lang', 'py'], 2, 'calculator.add has no Python module'],
  [['double.echo', '--lang', 'ruby'], 2, 'Give typescript (ts) or python (py)'],
])('`workcell tools show %s` says what is wrong', async (args, exit, words) => {
  const { code, stderr } = await cli(['tools', 'show', ...args], { cwd: cell.folder });
  expect({ code, stderr }).toEqual({ code: exit, stderr: expect.stringContaining(words) });
});
