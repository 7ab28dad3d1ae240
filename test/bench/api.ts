/**
 * The API under load, as a backend uses it: `workcell serve` as a process of its own, and its client here. No execution may fail
 * or get another's output, and the memory of the server must not grow with what it has served.
 * Run: `npm run bench:api [-- BUBBLEWRAP QEMU]`, the numbers of executions; default 1000 and 100.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { WorkcellClient } from '../../src/client/index.ts';
import { writeConfig } from '../support/cell-config.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const [BUBBLEWRAP = 1000, QEMU = 100] = process.argv.slice(2).map(Number);
const MIB = 1024 * 1024;

interface Load {
  readonly executions: number;
  readonly atOnce: number;
  readonly customers: number;
}

await bench({ driver: 'bubblewrap', isolation: 'process' }, { executions: BUBBLEWRAP, atOnce: 32, customers: 8 });
await bench({ driver: 'qemu', isolation: 'emulated' }, { executions: QEMU, atOnce: 8, customers: 4 });

async function bench(sandbox: Readonly<Record<string, string>>, load: Load): Promise<void> {
  if (load.executions === 0) return;
  const folder = await mkdtemp(join(tmpdir(), 'workcell-bench-'));
  // Emulated guests share the processors with everything else.
  const limits = { timeout: '2m' };
  const config = await writeConfig(folder, { limits, sandbox: { ...sandbox, idleTimeout: '10m' } });
  const server = spawn(process.execPath, [MAIN, '--config', config, 'serve', '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await measure(server, load, sandbox['driver'] ?? '');
  } finally {
    server.kill('SIGTERM');
    await once(server, 'exit');
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(server: ChildProcess, load: Load, driver: string): Promise<void> {
  const { MSB_API_URL: url = '', MSB_API_KEY: apiKey = '' } = await settingsOf(server);
  const client = new WorkcellClient({ url, apiKey });
  // The sandbox of each customer, and what a server needs only once.
  await run(client, { ...load, executions: 4 * load.customers });
  const single = await run(client, { executions: 20, atOnce: 1, customers: 1 });
  const before = await memoryOf(url, apiKey);
  const first = await run(client, load);
  const middle = await memoryOf(url, apiKey);
  const again = await run(client, load);
  const after = await memoryOf(url, apiKey);

  const baseline = quantile(single.times, 0.5);
  console.log(`${driver}: ${load.executions} executions, ${load.atOnce} at once, ${load.customers} customers, twice`);
  for (const [name, { times, seconds }] of Object.entries({ first, again })) {
    const shown = [0.5, 0.95, 0.99].map((q) => `p${q * 100} ${quantile(times, q).toFixed(0)} ms`).join(', ');
    const rate = load.executions / seconds;
    console.log(`  ${name}: ${shown}; ${rate.toFixed(1)} a second; no error, no mixed output`);
  }
  const alone = 1000 / baseline;
  console.log(`  throughput / one after the other = ${(load.executions / again.seconds / alone).toFixed(2)}`);
  console.log(`  p50 / alone (${baseline.toFixed(0)} ms) = ${(quantile(again.times, 0.5) / baseline).toFixed(2)}`);
  for (const kind of ['resident', 'heap'] as const) {
    const [was, once, twice] = [before, middle, after].map((memory) => mib(memory[kind]));
    const ratio = (after[kind] / middle[kind]).toFixed(3);
    console.log(
      `  server, ${kind}: ${was} MiB before, ${once} after the first, ${twice} after the second; second / first = ${ratio}`,
    );
  }
}

/** Runs them all; throws for one that fails or gives anything but its own output. */
async function run(
  client: WorkcellClient,
  { executions, atOnce, customers }: Load,
): Promise<{ readonly times: readonly number[]; readonly seconds: number }> {
  const times: number[] = [];
  let next = 0;
  const worker = async () => {
    for (let number = next++; number < executions; number = next++) {
      const own = `${number}-${Math.random()}`;
      const code = `console.log(${JSON.stringify(own)}); return ${JSON.stringify(own)}`;
      const began = performance.now();
      const customer = client.customer(`customer-${number % customers}`);
      const { status, value, stdout } = await customer.execute({ code });
      times.push(performance.now() - began);
      if (status !== 'completed' || value !== own || stdout !== `${own}\n`)
        throw new Error(`Execution ${number} gave ${status}, ${JSON.stringify(value)}, ${JSON.stringify(stdout)}`);
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: atOnce }, worker));
  return { times, seconds: (performance.now() - began) / 1000 };
}

/** What the server prints for its clients, as soon as it listens. */
async function settingsOf(server: ChildProcess): Promise<Readonly<Record<string, string>>> {
  if (server.stdout === null) throw new Error('The server has no stdout');
  for await (const line of createInterface({ input: server.stdout })) {
    const settings = line.split(' ').map((part) => part.split('=') as [string, string]);
    if (line.includes('MSB_API_KEY=')) return Object.fromEntries(settings);
  }
  throw new Error('The server ended before it listened');
}

/** Bytes, as the server itself tells: all that it holds, and what of its heap is in use, some of it until it is next collected. */
async function memoryOf(url: string, apiKey: string): Promise<{ readonly resident: number; readonly heap: number }> {
  const answer = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${apiKey}` } });
  const text = await answer.text();
  const read = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  return { resident: read('process_resident_memory_bytes'), heap: read('nodejs_heap_size_used_bytes') };
}

function quantile(times: readonly number[], q: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(0);
}
