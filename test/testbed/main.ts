// `npm run testbed`: real microVMs of libkrun, in a host whose processor is emulated with virtualisation. Prints what it
// does, ends with `N passed, M failed`, and with an exit code that says the same. `-- --only GROUP` runs one group of checks:
// doctor, driver, containment, clients or run. `-- --keep` leaves you a shell in the nested host afterwards.
import { existsSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { stockClients } from '../support/stock-clients.ts';
import { bootNestedHost } from './nested-host.ts';
import { parseReport } from './report.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
/** It takes about five minutes; this is for a machine with other things to do. */
const TIMEOUT_MS = 15 * 60_000;

const { values } = parseArgs({ options: { only: { type: 'string' }, keep: { type: 'boolean' } } });
const { only, keep = false } = values;
const start = performance.now();
const say = (text: string) => console.log(`${((performance.now() - start) / 1000).toFixed(0).padStart(4)} s  ${text}`);

say('looking for the stock clients');
const clients = await stockClients();
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'workcell');
const node = process.execPath;
const inside = [
  node,
  join(PROJECT, 'test/testbed/inside/main.ts'),
  ...['--project', PROJECT, '--clients', clients.folder, '--busybox', '/usr/local/sbin/busybox'],
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
const tail: string[] = [];
{
  await using host = await bootNestedHost({
    cache,
    // The stock command wants certificates, whatever it talks to.
    folders: [
      ...['/etc/ssl'].filter(existsSync),
      PROJECT,
      realpathSync(join(PROJECT, 'node_modules')),
      clients.folder,
      dirname(node),
    ],
    script,
    interactive: keep,
    timeoutMs: 60_000,
  });
  const end = () => {
    say(`it has taken more than ${TIMEOUT_MS / 60_000} minutes`);
    void host[Symbol.asyncDispose]();
  };
  const timer = keep ? undefined : setTimeout(end, TIMEOUT_MS);
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
    if (line.kind !== 'check') continue;
    if (line.error === undefined) passed++;
    else failed++;
    say(`${line.error === undefined ? 'ok    ' : 'FAILED'} ${line.name} (${(line.ms / 1000).toFixed(1)} s)`);
    if (line.error !== undefined) console.log(line.error.replace(/^/gm, '        '));
  }
  clearTimeout(timer);
  if (!ended) console.log(`The checks did not come to their end.\n${tail.join('\n')}\n${await host.console()}`);
}
if (!ended) failed++;
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
