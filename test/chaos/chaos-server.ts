import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Random } from '../unit/random.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const START_TIMEOUT_MS = 150_000;
const STOPPED_FOR_MS = 4_000;
const STOP_TIMEOUT_MS = 120_000;

/** `workcell serve` as a process that can be killed and started again, and all that it has started. */
export class ChaosServer implements AsyncDisposable {
  /** In the environment of every process that comes from this server, so that no other is ever touched. */
  readonly #mark = `WORKCELL_CHAOS=${randomUUID()}`;
  readonly #config: string;
  readonly #apiKey: string;
  readonly #pids: number[] = [];
  #child: ChildProcess | undefined;
  #port = 0;

  private constructor(config: string, apiKey: string) {
    this.#config = config;
    this.#apiKey = apiKey;
  }

  static async start(config: string, apiKey: string): Promise<ChaosServer> {
    const server = new ChaosServer(config, apiKey);
    await server.#start();
    return server;
  }

  get port(): number {
    return this.#port;
  }

  async restart(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#start();
  }

  /** Orderly, as Ctrl-C does it. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGINT');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await gone;
    clearTimeout(timer);
  }

  async signalOne(command: string, signal: NodeJS.Signals, random: Random): Promise<void> {
    const [first, ...others] = await this.#processes(command);
    if (first === undefined) return;
    const pid = random.pick([first, ...others]);
    if (!send(pid, signal) || signal !== 'SIGSTOP') return;
    setTimeout(() => send(pid, 'SIGCONT'), STOPPED_FOR_MS);
  }

  /** What is still there of it: processes, folders of guests. Empty when all is well. */
  async leftovers(): Promise<readonly string[]> {
    const processes = await this.#processes();
    const folders = (await readdir('/dev/shm')).filter((name) => this.#pids.some((pid) => name.includes(`-${pid}.`)));
    return [
      ...processes.map((pid) => `process ${pid} is left over`),
      ...folders.map((name) => `/dev/shm/${name} is left over`),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    for (const pid of await this.#processes()) send(pid, 'SIGKILL');
  }

  async #start(): Promise<void> {
    const [name = '', value] = this.#mark.split('=');
    const { PATH, HOME, XDG_CACHE_HOME } = process.env;
    const child = spawn(process.execPath, [MAIN, 'serve', '--config', this.#config], {
      env: { PATH, HOME, XDG_CACHE_HOME, WORKCELL_API_KEY: this.#apiKey, [name]: value },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#pids.push(child.pid ?? 0);
    this.#port = await listening(child);
  }

  async #processes(command?: string): Promise<readonly number[]> {
    const found: number[] = [];
    for (const name of await readdir('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const environment = await readFile(`/proc/${name}/environ`, 'latin1').catch(() => '');
      if (!environment.split('\0').includes(this.#mark)) continue;
      const comm = (await readFile(`/proc/${name}/comm`, 'utf8').catch(() => '')).trim();
      if (command === undefined || comm === command.slice(0, 15)) found.push(Number(name));
    }
    return found;
  }
}

async function listening(child: ChildProcess): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let said = '';
  const timer = setTimeout(() => reject(new Error(`The server does not listen: ${said}`)), START_TIMEOUT_MS);
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      said = (said + chunk).slice(-4_000);
      const port = /MSB_API_URL=http:\/\/[^:]+:(\d+)/.exec(said)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
  child.once('exit', (code) => reject(new Error(`The server ended with ${code}: ${said}`)));
  return promise.finally(() => clearTimeout(timer));
}

function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
