/**
 * A tool call from a program in a sandbox, through the broker to an MCP server over stdio and back, against the same call
 * made by a plain MCP client on the host, in turns in one run; then many calls at once. A call is two events that are on disk
 * before it goes on, so two appends to a file, each synced, are measured with them.
 * Run: `npm run bench:calls [-- DRIVER [ROUNDS]]`; DRIVER is bubblewrap by default, or qemu.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { openCell } from '../support/cell.ts';
import { officialServers } from '../support/mcp-servers.ts';
import { tempFolder } from '../support/temp-folder.ts';

const [driver = 'bubblewrap', rounds = '5'] = process.argv.slice(2);
const CALLS = 200;

await using folder = await tempFolder();
const { everything } = officialServers(folder.path);
await using cell = await openCell({
  mcpServers: { everything },
  sandbox: { driver, ...(driver === 'bubblewrap' ? { isolation: 'process' } : {}) },
  limits: { toolCalls: 2 * CALLS, timeout: '5m' },
});
const client = new Client({ name: 'bench', version: '1' });
await client.connect(new StdioClientTransport({ command: everything.command, args: [...everything.args] }));

try {
  const direct: number[] = [];
  const brokered: number[] = [];
  const synced: number[] = [];
  // The first of each starts the server, and the sandbox.
  await directCalls(10);
  await brokeredCalls(10);
  for (let round = 0; round < Number(rounds); round++) {
    direct.push(...(await directCalls(CALLS)));
    brokered.push(...(await brokeredCalls(CALLS)));
    synced.push(...(await syncedAppends(CALLS)));
  }
  const [base, ours, disk] = [median(direct), median(brokered), median(synced)];
  console.log(
    `one call, median of ${direct.length}: direct ${base.toFixed(2)} ms, from a program in ${driver} ${ours.toFixed(2)} ms, two synced appends ${disk.toFixed(2)} ms`,
  );
  console.log(
    `brokered / direct = ${(ours / base).toFixed(2)} (aim: 3 on bubblewrap); the disk alone / direct = ${(disk / base).toFixed(2)}`,
  );

  const atOnce = await directAtOnce();
  const { ms, wrong } = await brokeredAtOnce();
  console.log(
    `${CALLS} calls at once: direct ${atOnce.toFixed(0)} ms, from a program ${ms.toFixed(0)} ms (${(ms / atOnce).toFixed(2)}); ${wrong} failed or got another's answer`,
  );
  if (wrong > 0) process.exitCode = 1;
} finally {
  await client.close();
}

async function directCalls(count: number): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < count; index++) {
    const started = performance.now();
    await client.callTool({ name: 'echo', arguments: { message: `m${index}` } });
    times.push(performance.now() - started);
  }
  return times;
}

async function brokeredCalls(count: number): Promise<number[]> {
  const code = `import { echo } from 'servers/everything';
    const times = [];
    for (let index = 0; index < ${count}; index++) {
      const started = performance.now();
      await echo({ message: 'm' + index });
      times.push(performance.now() - started);
    }
    return times;`;
  return (await run(code)) as number[];
}

/** What the disk takes of a call, whatever else is done. */
async function syncedAppends(count: number): Promise<number[]> {
  await using file = await open(join(folder.path, 'synced'), 'a');
  const times: number[] = [];
  for (let index = 0; index < count; index++) {
    const started = performance.now();
    for (const event of ['called', 'returned']) {
      await file.writeFile(`${event} ${'x'.repeat(200)}\n`);
      await file.datasync();
    }
    times.push(performance.now() - started);
  }
  return times;
}

async function directAtOnce(): Promise<number> {
  const started = performance.now();
  const calls = Array.from({ length: CALLS }, (_, n) =>
    client.callTool({ name: 'echo', arguments: { message: `${n}` } }),
  );
  await Promise.all(calls);
  return performance.now() - started;
}

async function brokeredAtOnce(): Promise<{ ms: number; wrong: number }> {
  const code = `import { echo } from 'servers/everything';
    const started = performance.now();
    const answers = await Promise.allSettled(Array.from({ length: ${CALLS} }, (_, n) => echo({ message: '<' + n + '>' })));
    const wrong = answers.filter(({ value }, n) => !JSON.stringify(value ?? '').includes('<' + n + '>')).length;
    return { ms: performance.now() - started, wrong };`;
  return (await run(code)) as { ms: number; wrong: number };
}

async function run(code: string): Promise<unknown> {
  const result = await cell.workcell.customer('bench').execute({ code });
  if (result.status !== 'completed') throw new Error(`The program ${result.status}: ${result.error?.message}`);
  return result.value;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
