import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Cell, openCell } from '../support/cell.ts';
import { doubleServer } from '../support/mcp-servers.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const TOOL = { name: 'echo', inputSchema: { type: 'object' } };

let cell: Cell;
let folder: TempFolder;

beforeAll(async () => {
  folder = await tempFolder();
  cell = await openCell({
    mcpServers: { double: doubleServer({ tools: [TOOL], log: join(folder.path, 'log') }) },
    sandbox: { protocol: 'rpc' },
  });
});

afterAll(async () => {
  await cell?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

const run = (code: string, timeoutMs?: number) => cell.workcell.customer('ann').execute({ code, timeoutMs });

it('a program on a server that speaks JSON-RPC calls tools, and uses the workspace and its skills', async () => {
  await run('return 1');
  await writeFile(
    join(cell.folder, 'workspaces/ann/skills/double.ts'),
    'export const double = (n: number) => 2 * n;\n',
  );
  const result = await run(`
    import { writeFile } from 'node:fs/promises';
    import { echo } from 'servers/double';
    import { double } from 'skills/double';
    const answer = await echo({ n: double(2) });
    await writeFile('/workspace/answer.json', JSON.stringify(answer));
    console.log('done');
    return answer;`);
  const answer = { name: 'echo', arguments: { n: 4 } };
  expect(result).toMatchObject({
    status: 'completed',
    value: answer,
    stdout: 'done\n',
    calls: [{ server: 'double', tool: 'echo', ok: true }],
    sandbox: { id: 'ann/workcell-1', boot: 'warm' },
  });
  expect(JSON.parse(await readFile(cell.hostPath('ann', 'answer.json'), 'utf8'))).toEqual(answer);
});

it('such a program that does not end is ended in time, and cannot change what all customers share', async () => {
  expect(await run('for (;;) {}', 1_500)).toMatchObject({ status: 'timed_out' });
  const shared = "import { existsSync } from 'node:fs'; return existsSync('/workspace/servers');";
  expect(await run(shared)).toMatchObject({ status: 'completed', value: false });
});
