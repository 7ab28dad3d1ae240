import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { STOCK_VERSION } from '../support/stock-clients.ts';
import { compatibilityPage, type DriverResults } from './compatibility-page.ts';

const PAGE = fileURLToPath(new URL('../../docs/COMPATIBILITY.md', import.meta.url));
const FOLDER = fileURLToPath(new URL('results', import.meta.url));

/** Keeps what the stock clients could do on one driver, for the page. */
export async function keepResults({ driver, isolation, results }: Omit<DriverResults, 'version'>): Promise<void> {
  // Times would differ each time.
  const timeless = results.map((result) => ({ ...result, ms: 0 }));
  const kept: DriverResults = { driver, isolation, version: STOCK_VERSION, results: timeless };
  await mkdir(FOLDER, { recursive: true });
  await writeFile(join(FOLDER, `${driver}.json`), `${JSON.stringify(kept, null, 1)}\n`);
}

/** Writes `docs/COMPATIBILITY.md` from what is kept of all drivers. */
export async function writePage(): Promise<void> {
  const files = (await readdir(FOLDER)).filter((name) => name.endsWith('.json')).sort();
  const runs = await Promise.all(
    files.map(async (name) => JSON.parse(await readFile(join(FOLDER, name), 'utf8')) as DriverResults),
  );
  await writeFile(PAGE, compatibilityPage(runs));
}
