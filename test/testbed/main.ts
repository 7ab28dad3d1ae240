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
/** The processor with virtualisation is emulated, and now and then hangs or crashes with a guest in it. */
const ATTEMPTS = keep ? 1 : 5;
/** Nothing that is checked is silent for so long. */
const SILENCE_MS = (only === 'conformance' ? 600 : 240) * 1_000;
/** Nor is there nothing at all to do for so long, on however slow a machine. */
const IDLE_MS = (only === 'conformance' ? 600 : 60) * 1_000;
/**
 * How much faster or slower than ours its clock may be. Its kernel measures the clock of its processor when it boots, and gets
 * that wrong by far when this machine holds it up meanwhile; what waits for a time in there then waits for another.
 */
const CLOCK_FACTOR = 2;
/** By its own clock: what goes by before that is compared. */
const CLOCK_MS = 30_000;
const start = performance.now();
const say = (text: string) => console.log(`${((performance.now() - start) / 1000).toFixed(0).padStart(4)} s  ${text}`);

say('looking for the stock clients');
const clients = await stockClients();
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'workcell');
const node = process.execPath;
await using programs = await tempFolder();
await bundlePrograms(PROJECT, programs.path);
const wanted = only === undefined ? GROUPS.filter((group) => group !== 'conformance') : [only];
let [passed, failed] = [0, 0];
const operations: OperationResult[] = [];
let stopped = false;

for (const group of wanted) {
  if (stopped) break;
  let attempt = await run(group, ATTEMPTS === 1);
  for (let count = 1; count < ATTEMPTS && !stopped && attempt.failed > 0; count++) {
    say(`"${group}" is tried again in a new nested host`);
    attempt = await run(group, count + 1 === ATTEMPTS);
  }
  passed += attempt.passed;
  failed += attempt.failed;
  operations.push(...attempt.operations);
}
if (failed === 0 && operations.length > 0) {
  await keepResults({ driver: DRIVER, isolation: 'hardware', results: operations });
  await writePage();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

interface Attempt {
  passed: number;
  failed: number;
  readonly operations: OperationResult[];
}

/** One group of checks, in a nested host of its own. What will be tried again as a whole ends with its first failure. */
async function run(group: string, isLast: boolean): Promise<Attempt> {
  const attempt: Attempt = { passed: 0, failed: 0, operations: [] };
  const tail: string[] = [];
  let ended = false;
  say(`${group}: booting a nested host`);
  await using host = await bootNestedHost({
    cache,
    folders: [PROJECT, realpathSync(join(PROJECT, 'node_modules')), ...[clients.folder, programs.path, dirname(node)]],
    script: scriptOf(group),
    interactive: keep,
    timeoutMs: 180_000,
  });
  const end = (why: string) => {
    say(why);
    void host[Symbol.asyncDispose]();
  };
  const onSignal = (signal: string) => {
    stopped = true;
    end(`${signal} has ended it`);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, onSignal);
  const endAfter = (ms: number, why: string) =>
    keep ? undefined : setTimeout(() => end(`${why} for ${ms / 1_000} s`), ms);
  const silence = endAfter(SILENCE_MS, 'nothing was heard of it');
  let idle: NodeJS.Timeout | undefined;
  let first: { readonly ms: number; readonly ours: number } | undefined;
  for await (const text of host.lines) {
    // While it boots, it does not say that it works.
    idle ??= endAfter(IDLE_MS, 'it has done nothing');
    idle?.refresh();
    const line = parseReport(text);
    if (line?.kind === 'busy') {
      first ??= { ms: line.ms, ours: performance.now() };
      const elapsed = line.ms - first.ms;
      const factor = elapsed / (performance.now() - first.ours);
      if (!keep && elapsed > CLOCK_MS && (factor > CLOCK_FACTOR || factor < 1 / CLOCK_FACTOR))
        end(`its clock goes ${factor.toFixed(1)} times as fast as ours`);
      continue;
    }
    silence?.refresh();
    if (line === undefined) {
      tail.push(text);
      if (tail.length > 40) tail.shift();
      if (keep) console.log(text);
      continue;
    }
    if (line.kind === 'progress') say(line.text);
    if (line.kind === 'end') ended = true;
    if (line.kind === 'operation') countOperation(attempt, line.result);
    if (line.kind === 'check') count(attempt, line.name, line.ms, line.error);
    // What is left of the machine, down to a guest that hangs, ends with it.
    if (!keep && (ended || (attempt.failed > 0 && !isLast))) break;
  }
  clearTimeout(idle);
  clearTimeout(silence);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
  if (!ended) console.log(`What was said last, there and by its kernel:\n${tail.join('\n')}\n${await host.console()}`);
  // To have checked nothing is a failure too.
  if (!ended || attempt.passed + attempt.failed === 0) attempt.failed++;
  return attempt;
}

function scriptOf(group: string): string {
  const inside = [
    ...[node, join(programs.path, 'checks.mjs')],
    ...['--programs', programs.path, '--clients', clients.folder, '--busybox', '/usr/local/sbin/busybox'],
    ...['--only', group],
  ];
  const quoted = inside.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  // The packages of Microsandbox are found from the project as if they were installed beside it.
  return `ln -s ${clients.folder}/node_modules ${dirname(PROJECT)}/node_modules
export TESTBED_SECRET=of-the-server
${quoted} 2>&1
${keep ? 'echo "a shell of the nested host; exit ends it"; exec sh </dev/ttyS1' : ''}`;
}

function count(attempt: Attempt, name: string, ms: number, error: string | undefined): void {
  if (error === undefined) attempt.passed++;
  else attempt.failed++;
  say(`${error === undefined ? 'ok    ' : 'FAILED'} ${name} (${(ms / 1000).toFixed(1)} s)`);
  if (error !== undefined) console.log(error.replace(/^/gm, '        '));
}

/** What is known not to work passes when it does not. */
function countOperation(attempt: Attempt, result: OperationResult): void {
  attempt.operations.push(result);
  const { client, name, ok, ms, error } = result;
  const gap = gapOf(DRIVER, result);
  if (ok && gap !== undefined) count(attempt, `${client}: ${name}`, ms, 'it works, and is among the known gaps');
  else
    count(attempt, `${client}: ${name}${gap === undefined ? '' : ', a known gap'}`, ms, ok || gap ? undefined : error);
}
