import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandOutcome, command } from '../../support/stock-clients.ts';
import { type Bench, check } from './bench.ts';

/** What has been compiled once is not compiled again. */
export const COMPILED = { NODE_COMPILE_CACHE: '/root/compiled' };

/** The command line. */
export function workcell(
  { programs, configPath }: Bench,
  args: readonly string[],
  input?: string,
): Promise<CommandOutcome> {
  return command(process.execPath, [join(programs, 'cli.mjs'), '--config', configPath, ...args], {
    env: { HOME: '/root', ...COMPILED },
    timeoutMs: 230_000,
    ...(input === undefined ? {} : { input }),
  });
}

export async function checkDoctor(bench: Bench): Promise<void> {
  await check('`workcell doctor` finds hardware isolation and everything that it needs', async () => {
    const { stdout, code } = await workcell(bench, ['doctor', '--json']);
    const { driver, isolation, ready, problems } = JSON.parse(stdout);
    assert.deepEqual(
      { driver, isolation, ready, problems, code },
      { driver: 'microsandbox', isolation: 'hardware', ready: true, problems: [], code: 0 },
    );
  });
}

export async function checkRun(bench: Bench): Promise<void> {
  await check('`workcell run` carries a program with a call of a tool, and its files', async () => {
    const program = join(bench.folder, 'program.ts');
    await writeFile(
      program,
      `import { echo } from 'servers/double';
import { writeFile } from 'node:fs/promises';
const said = await echo({ word: 'hello' });
await writeFile('/workspace/said.json', JSON.stringify(said));
return said;`,
    );
    const { stdout, stderr, code } = await workcell(bench, ['run', '--json', '--customer', 'acme', '--file', program]);
    assert.equal(code, 0, `${stderr}\n${stdout}`);
    const result = JSON.parse(stdout);
    assert.equal(result.status, 'completed');
    assert.deepEqual(result.value, { name: 'echo', arguments: { word: 'hello' } });
    assert.deepEqual(
      result.calls.map(({ server, tool, ok }: Record<string, unknown>) => ({ server, tool, ok })),
      [{ server: 'double', tool: 'echo', ok: true }],
    );
    assert.equal(result.sandbox.driver, 'microsandbox');
    assert.equal(result.sandbox.isolation, 'hardware');
    assert.deepEqual(
      JSON.parse(await readFile(join(bench.folder, 'workspaces/acme/files/said.json'), 'utf8')),
      result.value,
    );
  });
}
