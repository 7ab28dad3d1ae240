/**
 * Lets the stock Microsandbox clients do their everyday work against our server, on each driver, and writes
 * `docs/COMPATIBILITY.md`. Run: `npm run conformance [-- DRIVER…]`; without names, every driver that can run here.
 *
 * `-- --url URL --key KEY --image IMAGE --host-folder FOLDER --driver NAME --isolation KIND` uses a server that runs already.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { serveDriver } from '../support/serve-driver.ts';
import { stockClients } from '../support/stock-clients.ts';
import { passRate } from './compatibility-page.ts';
import { keepResults, writePage } from './keep-results.ts';
import { gapOf } from './known-gaps.ts';
import { runConformance } from './run-conformance.ts';

const AIM = 0.95;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(
    ['url', 'key', 'image', 'host-folder', 'driver', 'isolation', 'clients'].map((name) => [
      name,
      { type: 'string' as const },
    ]),
  ),
});
let failed = false;
if (typeof values['url'] === 'string') await runAgainst(values as Record<string, string>);
else for (const driver of positionals.length > 0 ? positionals : ['qemu', 'bubblewrap']) await runOn(driver);
await writePage();
process.exitCode = failed ? 1 : 0;

async function runOn(driver: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'workcell-conformance-'));
  try {
    await using server = await serveDriver(driver, folder);
    const { url, apiKey, isolation, hostFolder } = server;
    await run({ driver, isolation, url, apiKey, image: 'host', hostFolder, folder });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function runAgainst(given: Record<string, string>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'workcell-conformance-'));
  const { url = '', key: apiKey = '', image = 'host', driver = 'unknown', isolation = 'unknown' } = given;
  const hostFolder = given['host-folder'] ?? folder;
  try {
    await run({ driver, isolation, url, apiKey, image, hostFolder, folder });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Run {
  readonly driver: string;
  readonly isolation: string;
  readonly url: string;
  readonly apiKey: string;
  readonly image: string;
  readonly hostFolder: string;
  readonly folder: string;
}

async function run({ driver, isolation, folder, ...target }: Run): Promise<void> {
  console.log(`# ${driver}`);
  const results = await runConformance({
    ...target,
    clients: await stockClients(),
    scratch: join(folder, 'client'),
    onResult: ({ ok, client, name, ms, error }) =>
      console.log(
        `${ok ? 'ok  ' : 'FAIL'} ${client}: ${name} (${ms} ms)${error === undefined ? '' : `\n     ${error}`}`,
      ),
  });
  const unexplained = results.filter((result) => !result.ok && gapOf(driver, result) === undefined);
  const stale = results.filter((result) => result.ok && gapOf(driver, result) !== undefined);
  for (const { client, name } of stale) console.log(`works, and is among the known gaps: ${client}: ${name}`);
  const rate = passRate(results);
  console.log(`${driver}: ${(rate * 100).toFixed(1)} % of what works on the original's cloud`);
  failed ||= unexplained.length > 0 || stale.length > 0 || (driver === 'qemu' && rate < AIM);
  await keepResults({ driver, isolation, results });
}
