import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadConfig } from '../../src/config/load-config.ts';
import { isWorkcellError } from '../../src/core/errors.ts';
import { createWorkcell, type Workcell } from '../../src/workcell/workcell.ts';
import { eventually } from '../support/processes.ts';
import { Random } from '../unit/random.ts';
import { ChaosServer } from './chaos-server.ts';
import { FlakyProxy } from './flaky-proxy.ts';

const run = promisify(execFile);

const FAULTS = [
  'kill guest',
  'stop guest',
  'kill file server',
  'kill server',
  'full disk',
  'drop connections',
] as const;

export interface ChaosOptions {
  /** How long at least; it goes on until enough executions have succeeded, up to {@link PATIENCE} times as long. */
  readonly seconds: number;
  readonly seed: number;
  readonly onEvent: (text: string) => void;
}

export interface ChaosReport {
  readonly executions: number;
  readonly acknowledged: number;
  /** By error code. */
  readonly failures: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  /** Everything that must not be: lost writes, calls without an end, leftovers. */
  readonly problems: readonly string[];
}

const CUSTOMERS = ['ann', 'bob', 'cat'] as const;
const PROGRAM_TIMEOUT_MS = 10_000;
const BOOT_TIMEOUT_MS = 30_000;
/** Killing a program, removing its sandbox, and what a machine under load takes beyond that. */
const SLACK_MS = 60_000;
const DISK_MIB = 96;
const API_KEY = 'msb_of-the-chaos';
/** Executions that have to succeed, for something to be lost. */
const ENOUGH = 6;
const PATIENCE = 5;
/** What an execution takes on an idle machine, at the most; where it takes longer, misfortune comes as much more seldom. */
const CALM_MS = 4_000;

/**
 * A load of executions through a real server, while guests, file servers and the server itself are killed and stopped, the
 * disk is full and connections drop. Needs root, for the small disk.
 */
export async function runChaos({ seconds, seed, onEvent }: ChaosOptions): Promise<ChaosReport> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'workcell-chaos-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const disk = await smallDisk(folder, stack);
  const config = await writeConfig(folder, disk);
  const server = stack.use(await ChaosServer.start(config, API_KEY));
  const proxy = stack.use(await FlakyProxy.open(() => server.port));
  const flags = [
    { key: 'sandbox.url', flag: 'chaos', value: proxy.url },
    { key: 'sandbox.apiKey', flag: 'chaos', value: API_KEY },
  ];
  const loaded = await loadConfig({ env: {}, path: config, flags });
  const problems: string[] = [];
  const counts: Record<string, number> = {};
  const load = new Load(problems);
  {
    await using cell = await createWorkcell({ config: loaded });
    const began = performance.now();
    await load.execute(cell, CUSTOMERS[0]);
    const pace = Math.max(1, (performance.now() - began) / CALM_MS);
    const goOn = () => {
      const spent = (performance.now() - began) / 1000;
      return spent < seconds || (load.acknowledged.length < ENOUGH && spent < PATIENCE * seconds);
    };
    const customers = CUSTOMERS.map((customer) => load.run(cell, customer, goOn));
    const random = new Random(seed);
    while (goOn()) {
      await pause(random.integer(500, 3_000) * pace);
      const fault = random.pick(FAULTS);
      counts[fault] = (counts[fault] ?? 0) + 1;
      onEvent(fault);
      await inject(fault, { server, proxy, disk, random });
    }
    await Promise.all(customers);
  }
  await load.verify(disk);
  await server.stop();
  // What was killed may take a moment to end.
  await eventually(async () => (await server.leftovers()).length === 0).catch(() => {});
  problems.push(...(await server.leftovers()));
  return {
    executions: load.executions,
    acknowledged: load.acknowledged.length,
    failures: load.failures,
    faults: counts,
    problems,
  };
}

interface Target {
  readonly server: ChaosServer;
  readonly proxy: FlakyProxy;
  readonly disk: string;
  readonly random: Random;
}

async function inject(fault: string, { server, proxy, disk, random }: Target): Promise<void> {
  switch (fault) {
    case 'kill guest':
      return server.signalOne('qemu-system-x86', 'SIGKILL', random);
    case 'kill file server':
      return server.signalOne('virtiofsd', 'SIGKILL', random);
    case 'stop guest': {
      // Whatever waits for it must not wait longer than its own deadline; after a while it goes on, if it is still there.
      await server.signalOne('qemu-system-x86', 'SIGSTOP', random);
      return;
    }
    case 'kill server':
      return server.restart();
    case 'full disk': {
      const filler = join(disk, 'filler');
      // Ends with an error when the disk is full, which is what it is for.
      await run('dd', ['if=/dev/zero', `of=${filler}`, 'bs=1M']).catch(() => {});
      await pause(1_500);
      return rm(filler, { force: true });
    }
    default:
      return proxy.dropAll();
  }
}

/** Programs that write a file each, and the list of those that were said to have succeeded. */
class Load {
  executions = 0;
  readonly acknowledged: {
    readonly customer: string;
    readonly name: string;
    readonly text: string;
    readonly session: string;
  }[] = [];
  readonly failures: Record<string, number> = {};
  readonly #problems: string[];

  constructor(problems: string[]) {
    this.#problems = problems;
  }

  async run(cell: Workcell, customer: string, goOn: () => boolean): Promise<void> {
    while (goOn()) await this.execute(cell, customer);
  }

  async execute(cell: Workcell, customer: string): Promise<void> {
    this.executions += 1;
    const name = `${customer}-${this.executions}.txt`;
    const text = createHash('sha256').update(name).digest('hex').repeat(100);
    const code = `const fs = require('node:fs');
const file = fs.openSync('${name}', 'w');
fs.writeSync(file, '${text}');
fs.fsyncSync(file);
return fs.readFileSync('${name}', 'utf8').length;`;
    const started = performance.now();
    try {
      const result = await cell.customer(customer).execute({ code, timeoutMs: PROGRAM_TIMEOUT_MS });
      if (result.status === 'completed' && result.value === text.length)
        this.acknowledged.push({ customer, name, text, session: result.sessionId });
      else this.#count(result.status);
    } catch (error) {
      this.#count(isWorkcellError(error) ? error.code : `not ours: ${error}`);
      // What is down at the moment is given a moment.
      await pause(200);
    }
    const ms = performance.now() - started;
    if (ms > PROGRAM_TIMEOUT_MS + BOOT_TIMEOUT_MS + SLACK_MS)
      this.#problems.push(`an execution of ${customer} took ${Math.round(ms)} ms, beyond its deadline`);
  }

  /** Every file that was acknowledged is there, whole, and so is the end of its execution in the log. */
  async verify(disk: string): Promise<void> {
    for (const { customer, name, text, session } of this.acknowledged) {
      const found = await readFile(join(disk, 'workspaces', customer, 'files', name), 'utf8').catch(() => undefined);
      if (found !== text)
        this.#problems.push(`${name} was acknowledged and is ${found === undefined ? 'gone' : 'damaged'}`);
      const log = await readFile(join(disk, 'workspaces', customer, 'sessions', `${session}.jsonl`), 'utf8').catch(
        () => '',
      );
      if (!log.includes('"execution.finished"')) this.#problems.push(`the log of ${name} lacks its end`);
    }
    if (this.acknowledged.length === 0) this.#problems.push('not one execution succeeded');
    for (const code of Object.keys(this.failures))
      if (code.startsWith('not ours')) this.#problems.push(`an error that is not one of ours: ${code}`);
  }

  #count(what: string): void {
    this.failures[what] = (this.failures[what] ?? 0) + 1;
  }
}

async function smallDisk(folder: string, stack: AsyncDisposableStack): Promise<string> {
  const image = join(folder, 'disk.img');
  const disk = join(folder, 'disk');
  await mkdir(disk);
  await run('truncate', ['-s', `${DISK_MIB}M`, image]);
  await run('mke2fs', ['-q', '-t', 'ext4', '-m', '0', image]);
  await run('mount', ['-o', 'loop', image, disk]);
  stack.defer(async () => void (await run('umount', [disk])));
  for (const name of ['workspaces', 'servers', 'skills']) await mkdir(join(disk, name));
  return disk;
}

async function writeConfig(folder: string, disk: string): Promise<string> {
  const path = join(folder, 'config.yaml');
  const paths = { workspaces: join(disk, 'workspaces'), servers: join(disk, 'servers'), skills: join(disk, 'skills') };
  const sandbox = { bootTimeout: BOOT_TIMEOUT_MS, idleTimeout: '5s' };
  await writeFile(path, JSON.stringify({ paths, sandbox, server: { port: 0 }, log: { level: 'silent' } }));
  await readdir(disk);
  return path;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
