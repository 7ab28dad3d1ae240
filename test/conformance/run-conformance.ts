import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { command, type StockClients } from '../support/stock-clients.ts';
import { MSB_OPERATIONS, type MsbContext } from './msb-operations.ts';
import { type OperationResult, runOperations } from './operation.ts';

const SDK_MAIN = fileURLToPath(new URL('sdk-main.ts', import.meta.url));
const COMMAND_TIMEOUT_MS = 300_000;
const FOLLOW_TIMEOUT_MS = 150_000;

export interface ConformanceOptions {
  readonly url: string;
  readonly apiKey: string;
  readonly clients: StockClients;
  readonly image: string;
  /** A folder of the host that the server lets administrators mount. */
  readonly hostFolder: string;
  /** A folder for the clients' own files. */
  readonly scratch: string;
  readonly onResult: (result: OperationResult) => void;
  /** How many times slower than usual this machine is. Default 1. */
  readonly slowness?: number;
}

/** Lets the stock clients do their everyday work against one server. */
export async function runConformance(options: ConformanceOptions): Promise<readonly OperationResult[]> {
  const results: OperationResult[] = [];
  const onResult = (result: OperationResult) => {
    results.push(result);
    options.onResult(result);
  };
  await mkdir(options.scratch, { recursive: true });
  await runOperations('msb', MSB_OPERATIONS, msbContext(options), { ...options, onResult });
  await runSdk(options, onResult);
  return results;
}

function environment({ url, apiKey, scratch }: ConformanceOptions): Record<string, string> {
  const path = `${dirname(process.execPath)}:${process.env['PATH']}`;
  return { PATH: path, HOME: scratch, TERM: 'xterm', MSB_BACKEND: 'cloud', MSB_API_URL: url, MSB_API_KEY: apiKey };
}

function msbContext(options: ConformanceOptions): MsbContext {
  const env = environment(options);
  const { clients, slowness = 1 } = options;
  const { msb } = clients;
  const timeoutMs = COMMAND_TIMEOUT_MS * slowness;
  const withInput = (input: string | undefined) => (input === undefined ? {} : { input });
  return {
    image: options.image,
    hostFolder: options.hostFolder,
    scratch: options.scratch,
    msb: (args, input, more = {}) => command(msb, args, { env: { ...env, ...more }, timeoutMs, ...withInput(input) }),
    terminal: (args, input) => {
      const line = [msb, ...args].map((arg) => `'${arg.replaceAll("'", `'\\''`)}'`).join(' ');
      return command('script', ['-qec', line, '/dev/null'], { env, timeoutMs, ...withInput(input) });
    },
    follow: (args, until, meanwhile) =>
      follow([msb, ...args], { env, until, meanwhile, timeoutMs: FOLLOW_TIMEOUT_MS * slowness }),
  };
}

interface FollowOptions {
  readonly env: Record<string, string>;
  readonly until: (text: string) => boolean;
  readonly meanwhile: () => Promise<unknown>;
  readonly timeoutMs: number;
}

async function follow(
  [program = '', ...args]: readonly string[],
  { env, until, meanwhile, timeoutMs }: FollowOptions,
): Promise<string> {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  const seen = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        text += chunk;
        if (until(text)) resolve();
      });
    child.once('close', () => resolve());
    setTimeout(resolve, timeoutMs).unref();
  });
  try {
    await meanwhile();
    await seen;
    return text;
  } finally {
    child.kill('SIGKILL');
  }
}

async function runSdk(options: ConformanceOptions, onResult: (result: OperationResult) => void): Promise<void> {
  const { clients, image, scratch, slowness = 1 } = options;
  const child = spawn(process.execPath, [SDK_MAIN, clients.folder, image, scratch, String(slowness)], {
    env: environment(options),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    for await (const line of createInterface(child.stdout)) onResult(JSON.parse(line) as OperationResult);
  } finally {
    child.kill('SIGKILL');
  }
}
