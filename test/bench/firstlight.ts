/**
 * How long it takes until a program says its first word, and what a program costs on a running sandbox; each as a ratio
 * to a baseline that is measured in the same run, in turns with it. Run: `npm run bench:firstlight [-- ROUNDS]`.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { connectAgent } from '../../src/executor/connect-agent.ts';
import { MicrosandboxClient } from '../../src/executor/microsandbox-client.ts';
import { createWorkcell, loadConfig } from '../../src/index.ts';
import type { AgentClient } from '../../src/protocol/agent-client.ts';
import { awaitWaiting } from '../../src/sandbox/drivers/qemu/agent-link.ts';
import { obtainAssets } from '../../src/sandbox/drivers/qemu/assets.ts';
import { QemuDriver } from '../../src/sandbox/drivers/qemu/driver.ts';
import { agentSocket, machineCommand } from '../../src/sandbox/drivers/qemu/machine.ts';
import { probeQemu } from '../../src/sandbox/drivers/qemu/probe.ts';
import { connectUnix } from '../../src/sandbox/drivers/qemu/unix-socket.ts';
import { SandboxServer } from '../../src/sandbox/server.ts';
import { Child } from '../../src/util/child.ts';
import { Deadline } from '../../src/util/deadline.ts';
import { Secret } from '../../src/util/secret.ts';
import { MACHINE } from '../support/driver-guest.ts';
import { firstOutput } from './first-output.ts';

const ROUNDS = Number(process.argv[2] ?? 5);
const CACHE = join(homedir(), '.cache', 'workcell');

const folder = await mkdtemp(join(tmpdir(), 'workcell-bench-'));
try {
  await using cold = await serve(false);
  await using restored = await serve(true);
  const times: Record<string, number[]> = { bare: [], cold: [], restored: [], node: [], warm: [] };
  for (let round = 0; round < ROUNDS; round++) {
    times['bare']?.push(await bareBoot());
    times['cold']?.push(await firstOutput(cold, folder));
    times['restored']?.push(await firstOutput(restored, folder));
  }
  await warmRuns(times['node'] ?? [], times['warm'] ?? []);
  const median = (name: string) => middle(times[name] ?? []);
  console.log(`${ROUNDS} rounds, medians; accelerator ${(await probeQemu()).host?.accelerator}`);
  report('cold start to first output', median('cold'), 'bare boot to an answering node', median('bare'), 1.3);
  report('restored start to first output', median('restored'), 'cold start to first output', median('cold'), 0.25);
  report('warm execution of 1+1', median('warm'), 'node -e 1 in the same guest', median('node'), 0.25);
} finally {
  await rm(folder, { recursive: true, force: true });
}

function report(what: string, value: number, baseline: string, base: number, aim: number): void {
  const ratio = value / base;
  const verdict = ratio <= aim ? 'met' : 'MISSED';
  console.log(
    `${what} (${value.toFixed(0)} ms) / ${baseline} (${base.toFixed(0)} ms) = ${ratio.toFixed(2)}; aim <= ${aim}: ${verdict}`,
  );
}

async function serve(template: boolean) {
  const driver = await QemuDriver.create({ cache: CACHE, template, defaults: MACHINE });
  using deadline = new Deadline('Preparing', 600_000);
  await driver.prepare(deadline, (text) => console.error('…', text));
  const key = new Secret('msb_bench');
  const server = await SandboxServer.listen({
    driver,
    keys: [key],
    volumes: folder,
    bindRoots: [folder],
    bootTimeoutMs: 60_000,
  });
  return {
    url: server.url,
    key,
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await driver[Symbol.asyncDispose]();
    },
  };
}

/** The least that a boot can be: the same kernel until a node process in it speaks; no share, no server, no program. */
async function bareBoot(): Promise<number> {
  using deadline = new Deadline('A bare boot', 60_000);
  const { host } = await probeQemu();
  if (host === undefined) throw new Error('QEMU is not installed');
  const assets = await obtainAssets(join(CACHE, 'qemu'), deadline, () => {});
  const sockets = await mkdtemp(join('/dev/shm', 'workcell-bench-'));
  const started = performance.now();
  const machine = await Child.start(
    machineCommand({ ...host, assets, ...MACHINE, folder: sockets, memory: join(sockets, 'memory'), incoming: false }),
    { log: join(sockets, 'qemu.log'), survives: false },
  );
  try {
    await awaitWaiting(await connectUnix(agentSocket(sockets), deadline), deadline);
    return performance.now() - started;
  } finally {
    await machine.kill();
    await rm(sockets, { recursive: true, force: true });
  }
}

/** Whole executions through the facade, session log included, in turns with a node that starts cold in the same guest. */
async function warmRuns(node: number[], warm: number[]): Promise<void> {
  for (const name of ['workspaces', 'servers', 'skills']) await mkdir(join(folder, name), { recursive: true });
  await using server = await serve(true);
  const flags = Object.entries({ workspaces: 'workspaces', servers: 'servers', skills: 'skills' }).map(
    ([key, value]) => ({ key: `paths.${key}`, flag: 'bench', value: join(folder, value) }),
  );
  const env = { MSB_SERVER_URL: server.url, MSB_API_KEY: server.key.reveal() };
  const config = await loadConfig({ env, flags, cwd: folder });
  await using cell = await createWorkcell({ config });
  const customer = cell.customer('bench');
  const { sandbox } = await customer.execute({ code: 'return 1+1' });
  using deadline = new Deadline('The warm runs', 120_000);
  using agent = await connectAgent(
    new MicrosandboxClient({ url: server.url, apiKey: server.key }),
    sandbox?.id ?? '',
    deadline,
  );
  for (let round = 0; round < ROUNDS * 2; round++) {
    await guestIsIdle(agent);
    const nodeStarted = performance.now();
    await exec(agent, '/opt/workcell/bin/node', ['-e', '1']);
    node.push(performance.now() - nodeStarted);
    await guestIsIdle(agent);
    const started = performance.now();
    const { value } = await customer.execute({ code: 'return 1+1' });
    warm.push(performance.now() - started);
    if (value !== 2) throw new Error(`1+1 is ${value}`);
  }
}

/** The next process for a program is started after each run; both sides are measured when nothing else runs. */
async function guestIsIdle(agent: AgentClient): Promise<void> {
  const script =
    'bb=/opt/workcell/bin/busybox; n=0; while [ $n -lt 3 ]; do $bb usleep 30000; if $bb grep -q "^procs_running 1$" /proc/stat; then n=$((n+1)); else n=0; fi; done';
  await exec(agent, '/opt/workcell/bin/busybox', ['sh', '-c', script]);
}

function exec(agent: AgentClient, cmd: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    agent.exec(
      { cmd, args },
      { onOutput: () => {}, onEnd: (end) => (end === 0 ? resolve() : reject(new Error(`${cmd}: ${String(end)}`))) },
    );
  });
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
