// `npm run testbed`: real microVMs of libkrun, in a host whose processor is emulated with virtualisation. Prints what it
// does, ends with `N passed, M failed`, and with an exit code that says the same. `-- --only GROUP` runs one group of checks:
// doctor, driver, network, clients or run; or conformance, which is not among the others because it takes a quarter of an
// hour, and which renews what docs/COMPATIBILITY.md says of this driver. `-- --keep` leaves you a shell in the nested host
// afterwards.
import { realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { keepResults, writePage } from '../conformance/keep-results.ts';
import { gapOf } from '../conformance/known-gaps.ts';
import type { OperationResult } from '../conformance/operation.ts';
import { stockClients } from '../support/stock-clients.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { bundlePrograms } from './bundle-programs.ts';
import { bootNestedHost } from './nested-host.ts';
import { parseReport } from './report.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const DRIVER = 'microsandbox';
const GROUPS = ['doctor', 'driver', 'network', 'clients', 'run', 'conformance'];

const { values } = parseArgs({ options: { only: { type: 'string' }, keep: { type: 'boolean' } } });
const { only, keep = false } = values;
if (only !== undefined && !GROUPS.includes(only)) throw new Error(`--only is one of ${GROUPS.join(', ')}`);
/** They take about five minutes, and a quarter of an hour; this is for a machine with other things to do. */
const TIMEOUT_MS = (only === 'conformance' ? 60 : 15) * 60_000;
const start = performance.now();
const say = (text: string) => console.log(`${((performance.now() - start) / 1000).toFixed(0).padStart(4)} s  ${text}`);

say('looking for the stock clients');
const clients = await stockClients();
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'workcell');
const node = process.execPath;
await using programs = await tempFolder();
await bundlePrograms(PROJECT, programs.path);
const inside = [
  ...[node, join(programs.path, 'checks.mjs')],
  ...['--programs', programs.path, '--clients', clients.folder, '--busybox', '/usr/local/sbin/busybox'],
  ...(only === undefined ? [] : ['--only', only]),
];
const quoted = inside.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
// The packages of Microsandbox are found from the project as if they were installed beside it.
const script = `ln -s ${clients.folder}/node_modules ${dirname(PROJECT)}/node_modules
export TESTBED_SECRET=of-the-server
${quoted} 2>&1
${keep ? 'echo "a shell of the nested host; exit ends it"; exec sh </dev/ttyS1' : ''}`;

say('booting the nested host');
let [passed, failed] = [0, 0];
let ended = false;
const operations: OperationResult[] = [];
const tail: string[] = [];

function count(name: string, ms: number, error: string | undefined): void {
  if (error === undefined) passed++;
  else failed++;
  say(`${error === undefined ? 'ok    ' : 'FAILED'} ${name} (${(ms / 1000).toFixed(1)} s)`);
  if (error !== undefined) console.log(error.replace(/^/gm, '        '));
}

/** What is known not to work passes when it does not. */
function countOperation(result: OperationResult): void {
  operations.push(result);
  const { client, name, ok, ms, error } = result;
  const gap = gapOf(DRIVER, result);
  if (ok && gap !== undefined) count(`${client}: ${name}`, ms, 'it works, and is among the known gaps');
  else count(`${client}: ${name}${gap === undefined ? '' : ', a known gap'}`, ms, ok || gap ? undefined : error);
}

{
  await using host = await bootNestedHost({
    cache,
    folders: [PROJECT, realpathSync(join(PROJECT, 'node_modules')), ...[clients.folder, programs.path, dirname(node)]],
    script,
    interactive: keep,
    timeoutMs: 60_000,
  });
  const end = (why: string) => {
    say(why);
    void host[Symbol.asyncDispose]();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end(`${signal} has ended it`));
  const late = `it has taken more than ${TIMEOUT_MS / 60_000} minutes`;
  const timer = keep ? undefined : setTimeout(() => end(late), TIMEOUT_MS);
  for await (const text of host.lines) {
    const line = parseReport(text);
    if (line === undefined) {
      tail.push(text);
      if (tail.length > 40) tail.shift();
      if (keep) console.log(text);
      continue;
    }
    if (line.kind === 'progress') say(line.text);
    if (line.kind === 'end') ended = true;
    if (line.kind === 'operation') countOperation(line.result);
    if (line.kind === 'check') count(line.name, line.ms, line.error);
  }
  clearTimeout(timer);
  if (!ended) console.log(`The checks did not come to their end.\n${tail.join('\n')}\n${await host.console()}`);
}
if (ended && operations.length > 0) {
  await keepResults({ driver: DRIVER, isolation: 'hardware', results: operations });
  await writePage();
}
// To have checked nothing is a failure too.
if (!ended || passed + failed === 0) failed++;
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
