import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExecutionResult } from '../../src/core/execution.ts';
import { createWorkcell } from '../../src/workcell/workcell.ts';
import { type Cell, openCell } from '../support/cell.ts';
import { cli } from '../support/cli.ts';
import { doubleServer } from '../support/mcp-servers.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const INPUT = { type: 'object', properties: { n: { type: 'number' } } };
const TOOLS = ['echo', 'other'].map((name) => ({ name, description: 'Says it back', inputSchema: INPUT }));

let cell: Cell;
let folder: TempFolder;

beforeAll(async () => {
  folder = await tempFolder();
  cell = await openCell({
    mcpServers: { double: doubleServer({ tools: TOOLS, log: join(folder.path, 'log') }) },
    sandbox: { driver: 'bubblewrap', isolation: 'process', cpus: 1 },
  });
});

afterAll(async () => {
  await cell?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

const customer = (id: string) => cell.workcell.customer(id);

async function completed(id: string, code: string, language: 'typescript' | 'python' = 'typescript', task?: string) {
  const result = await customer(id).execute({ code, language, task });
  expect(result).toMatchObject({ status: 'completed', error: null });
  return result;
}

/** What a guest could have written. */
async function write(files: Readonly<Record<string, string>>, into = 'workspaces/ann/skills'): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(cell.folder, into, path, '..'), { recursive: true });
    await writeFile(join(cell.folder, into, path), text);
  }
}

const called = ({ calls }: ExecutionResult) => calls.map(({ tool, ok }) => `${tool} ${ok ? 'ok' : 'failed'}`);

const ECHO = `import { echo } from 'servers/double';
import { add } from 'servers/calculator';

enum Start { At = 4 }
const answer = await echo({ n: await add({ a: Start.At, b: 1 }) });
return answer.arguments;`;

describe('a program that was saved as a skill', () => {
  it('is imported by another, which may call the tools of the skill', async () => {
    const first = await completed('ann', ECHO, 'typescript', 'Echo a number: five');
    const saved = await customer('ann').skills.save({ name: 'echo-five', execution: first.executionId });
    expect(saved).toMatchObject({
      scope: 'own',
      description: 'Echo a number: five',
      languages: ['typescript'],
      execution: first.executionId,
      tools: [
        { server: 'calculator', tool: 'add' },
        { server: 'double', tool: 'echo' },
      ],
      stale: [],
    });
    const code = "import { run } from 'skills/echo-five';\nreturn [await run(), await run()];";
    const second = await completed('ann', code, 'typescript', 'Something that no tool fits');
    expect(second.value).toEqual([{ n: 5 }, { n: 5 }]);
    expect(called(second)).toEqual(['echo ok', 'echo ok']);
    expect(second.program).toBe(code);
    expect(second.warnings).toEqual([]);
    expect(second.selection).toMatchObject({
      mode: 'imports',
      tools: [{ tool: 'add' }, { tool: 'echo', reasons: ['used by the skill "echo-five"'] }],
    });
    const third = await completed('ann', "import { run } from 'skills/echo-five';\nreturn run();");
    await customer('ann').skills.save({
      name: 'on-top',
      execution: third.executionId,
      description: 'Built on another',
    });
    const fourth = await completed('ann', "import { run } from 'skills/on-top';\nreturn run();");
    expect({ value: fourth.value, calls: called(fourth) }).toEqual({ value: { n: 5 }, calls: ['echo ok'] });
  });

  it('is imported in Python, under the name that Python has for it', async () => {
    const code = "from servers.double import echo\nn = 5\nresult = echo(n=n)['arguments']";
    const { executionId } = await completed('ann', code, 'python');
    const saved = await customer('ann').skills.save({
      name: 'py-echo',
      execution: executionId,
      description: 'Echo five',
    });
    expect(saved).toMatchObject({ languages: ['python'], tools: [{ server: 'double', tool: 'echo' }] });
    const { instructions } = await customer('ann').skills.get('py-echo');
    expect(instructions).toContain('from skills.py_echo import run');
    const second = await completed('ann', 'from skills.py_echo import run\nemit([run(), run()])', 'python');
    expect({ value: second.value, calls: called(second) }).toEqual({
      value: [{ n: 5 }, { n: 5 }],
      calls: ['echo ok', 'echo ok'],
    });
  });

  it('fails at its own lines, and where it was imported', async () => {
    await write({ 'fails/index.ts': "export function fail(): never {\n  throw new RangeError('too far');\n}\n" });
    const failed = await customer('ann').execute({ code: "import { fail } from 'skills/fails';\n\nfail();" });
    expect(failed).toMatchObject({ status: 'failed', error: { name: 'RangeError', line: 3 } });
    expect(failed.error?.stack).toMatch(/at fail \(skills\/fails\/index\.ts:2:9\)\n {4}at .*program\.ts:3:1/);
    const absent = await customer('ann').execute({ code: "\nimport { run } from 'skills/absent';\nrun();" });
    expect(absent).toMatchObject({ status: 'failed', sandbox: null, error: { line: 2 } });
  });

  it('is refused unless it completed', async () => {
    const { skills } = customer('ann');
    const { executionId } = await customer('ann').execute({ code: 'throw new TypeError("no")' });
    await expect(skills.save({ name: 'bad', execution: executionId })).rejects.toMatchObject({
      code: 'invalid_state',
      message: expect.stringMatching(/ended as failed with TypeError; save one that completed/),
    });
    await completed('ann', "require('node:fs').writeFileSync('/workspace/help.ts', 'export const a = 1;');");
    const { executionId: local } = await completed('ann', "import { a } from './help.ts';\nreturn a;");
    await expect(skills.save({ name: 'bad', execution: local, description: 'x' })).rejects.toMatchObject({
      code: 'invalid_state',
      message: expect.stringContaining('it imports "./help.ts" from the workspace'),
    });
    const { executionId: good } = await completed('ann', 'return 1');
    await expect(skills.save({ name: 'bad', execution: good })).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('The description is empty'),
    });
    for (const [name, execution, code] of [
      ['../bad', good, 'invalid_argument'],
      ['bad', '../../etc', 'invalid_argument'],
      ['bad', 'exe_none', 'not_found'],
      ['echo-five', good, 'already_exists'],
    ] as const) {
      await expect(skills.save({ name, execution, description: 'x' })).rejects.toMatchObject({ code });
    }
    await expect(customer('eve').skills.save({ name: 'bad', execution: good })).rejects.toMatchObject({
      code: 'not_found',
    });
    await expect(skills.get('bad')).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('a skill that all share', () => {
  it('is imported by every customer, unless one has its own of that name', async () => {
    const { executionId } = await completed('ann', "return 'shared'");
    const shared = { name: 'whose', execution: executionId, description: 'Says whose it is' };
    await cell.workcell.skills.save({ ...shared, customer: 'ann' });
    const code = "import { run } from 'skills/whose';\nreturn run();";
    expect((await completed('bob', code)).value).toBe('shared');
    expect((await customer('bob').skills.list()).skills).toMatchObject([{ name: 'whose', scope: 'shared' }]);
    await expect(customer('bob').skills.remove('whose')).rejects.toMatchObject({ code: 'forbidden' });
    const own = await completed('bob', "return 'own'");
    await customer('bob').skills.save({ ...shared, execution: own.executionId });
    expect((await completed('bob', code)).value).toBe('own');
    expect((await completed('ann', code)).value).toBe('shared');
    await customer('bob').skills.remove('whose');
    expect((await completed('bob', code)).value).toBe('shared');
    await cell.workcell.skills.remove('whose');
    expect(await customer('bob').skills.list()).toEqual({ skills: [], truncated: false });
  });

  it('reads its own files, in the guest', async () => {
    const placed =
      "import { readFileSync } from 'node:fs';\nexport const text: string = readFileSync(new URL('./a.txt', import.meta.url), 'utf8');\n";
    for (const [name, into] of [
      ['mine', 'workspaces/ann/skills'],
      ['ours', 'skills'],
    ] as const)
      await write({ [`${name}/index.ts`]: placed, [`${name}/a.txt`]: name }, into);
    const code = "import { text as a } from 'skills/mine';\nimport { text as b } from 'skills/ours';\nreturn [a, b];";
    const { value, stderr } = await completed('ann', code);
    expect({ value, stderr }).toEqual({ value: ['mine', 'ours'], stderr: '' });
  });
});

describe('what a guest writes as a skill', () => {
  it('claims no tool that is not there, and any that a program may import', async () => {
    const hash = 'x';
    const tools = ['other', 'nothing'].map((tool) => ({ server: 'double', tool, schemaHash: hash }));
    await write({
      'claims/SKILL.md': '---\nname: claims\ndescription: Claims tools\n---\n',
      'claims/workcell.json': JSON.stringify({ v: 1, execution: 'exe_1', savedAt: '2026-01-01T00:00:00.000Z', tools }),
      'claims/index.ts': 'export const a = 1;',
    });
    const { selection, warnings } = await completed('ann', "import { a } from 'skills/claims';\nreturn a;");
    expect(selection.tools.map(({ tool }) => tool)).toEqual(['other']);
    expect(warnings).toEqual([
      'The skill "claims" is stale: double.other has changed, double.nothing is gone since it was saved',
    ]);
  });

  it('leads the host nowhere else, and harms no other skill', async () => {
    await writeFile(join(folder.path, 'index.ts'), "export const secret = 'of the host';");
    await symlink(folder.path, join(cell.folder, 'workspaces/ann/skills/linked'));
    await write({ 'yaml/SKILL.md': '---\nname: *x\n---\n', 'yaml/index.ts': 'export const a = ;' });
    const linked = await customer('ann').execute({ code: "import { secret } from 'skills/linked';\nreturn secret;" });
    expect(linked).toMatchObject({ status: 'failed', value: null });
    const { skills: listed } = await customer('ann').skills.list();
    expect(listed.filter(({ status }) => status === 'broken').map(({ name }) => name)).toEqual([
      'fails',
      'linked',
      'mine',
      'ours',
      'yaml',
    ]);
    const hits = await customer('ann').skills.search('echo a number');
    expect(hits[0]).toMatchObject({ skill: { name: 'echo-five' } });
    expect(hits.map(({ skill }) => skill.name)).not.toContain('yaml');
  });
});

it('a skill whose tools have changed is told as stale, and still runs', async () => {
  const config = JSON.parse(await readFile(cell.configPath, 'utf8'));
  const changed = [{ name: 'echo', description: 'Says it back, twice', inputSchema: INPUT }];
  config.mcpServers.double.args = doubleServer({ tools: changed, log: join(folder.path, 'log') }).args;
  await writeFile(cell.configPath, JSON.stringify(config));
  await using workcell = await createWorkcell({ config: cell.configPath });
  await workcell.syncTools();
  const { skills } = workcell.customer('ann');
  const stale = [{ server: 'double', tool: 'echo', change: 'changed' }];
  expect((await skills.list()).skills.find(({ name }) => name === 'echo-five')).toMatchObject({ stale });
  expect(await skills.get('echo-five')).toMatchObject({ stale });
  expect((await skills.search('echo-five'))[0]).toMatchObject({ skill: { name: 'echo-five', stale } });
  const code = "import { run } from 'skills/echo-five';\nreturn run();";
  expect(await workcell.customer('ann').execute({ code })).toMatchObject({
    status: 'completed',
    value: { n: 5 },
    warnings: ['The skill "echo-five" is stale: double.echo has changed since it was saved'],
  });
});

it('the command line saves, lists, shows, finds and removes skills', async () => {
  const workcell = (...args: string[]) => cli(['--config', cell.configPath, ...args], { cwd: cell.folder });
  const { executionId } = await completed('cli', 'return 7');
  const save = ['skill', 'save', 'seven', '--customer', 'cli', '--from-execution', executionId];
  const description = ['--description', 'Gives \u001b[31mseven\nas "ever"'];
  expect(await workcell(...save, ...description)).toMatchObject({ code: 0, stdout: 'skills/seven\n' });
  expect(await workcell(...save, ...description, '--json')).toMatchObject({
    code: 2,
    stdout: expect.stringContaining('"code":"already_exists"'),
  });
  expect(await workcell(...save, ...description, '--force', '--json')).toMatchObject({ code: 0 });
  const list = await workcell('skill', 'list', '--customer', 'cli');
  expect(list.stdout).toMatch(/^seven +own +typescript +Gives \[31mseven as "ever"$/m);
  const show = await workcell('skill', 'show', 'seven', '--customer', 'cli');
  expect(show.stdout).toMatch(/^seven \(own\): Gives [\s\S]*saved from exe_[\s\S]*skills\/seven[\s\S]*return 7/);
  const search = await workcell('skill', 'search', 'gives seven', '--customer', 'cli', '--json');
  expect(JSON.parse(search.stdout)).toMatchObject([{ skill: { name: 'seven' } }]);
  expect(await workcell('skill', 'remove', 'seven', '--customer', 'cli')).toMatchObject({ code: 0, stdout: '' });
  expect(await workcell('skill', 'show', 'seven', '--customer', 'cli')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('There is no skill "seven"; see `workcell skill list`'),
  });
});
