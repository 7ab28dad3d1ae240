import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { writeConfig } from '../support/cell-config.ts';
import { startCli } from '../support/cli.ts';
import { eventually } from '../support/processes.ts';
import { tempFolder } from '../support/temp-folder.ts';

const SCRIPT = fileURLToPath(new URL('../../examples/http-api.py', import.meta.url));
const QUOTA = 2;

it('a client of another language walks through the whole API of `workcell serve`', async () => {
  await using folder = await tempFolder();
  await writeConfig(folder.path, {
    sandbox: { driver: 'bubblewrap', isolation: 'process' },
    quotas: { customers: { walker: { executions: QUOTA } } },
  });
  const serving = startCli(['serve', '--port', '0'], { cwd: folder.path });
  const [, url = '', key = ''] = await eventually(() => {
    const said = /MSB_API_URL=(\S+) MSB_API_KEY=(\S+)\n/.exec(serving.stdout());
    return said ?? undefined;
  });
  const env = { ...process.env, WORKCELL_URL: url, WORKCELL_API_KEY: key, WORKCELL_QUOTA: String(QUOTA) };
  const { stdout } = await promisify(execFile)('python3', [SCRIPT, 'walker'], { env, timeout: 170_000 });
  expect(stdout).toMatch(/- done\n$/);
  serving.signal('SIGTERM');
  expect(await serving.ended).toMatchObject({ code: 0 });
});
