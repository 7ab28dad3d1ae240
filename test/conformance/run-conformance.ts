import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { command, type StockClients } from '../support/stock-clients.ts';
import { MSB_OPERATIONS, type MsbContext } from './msb-operations.ts';
import { type OperationResult, runOperations } from './operation.ts';

const SDK_MAIN = fileURLToPath(new URL('sdk-main.ts', import.meta.url));
const FOLLOW_TIMEOUT_MS = 30_000;

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
}

/** Lets the stock clients do their everyday work against one server. */
export async function runConformance(options: ConformanceOptions): Promise<readonly OperationResult[]> {
  const results: OperationResult[] = [];
  const onResult = (result: OperationResult) => {
    results.push(result);
    options.onResult(result);
  };
  await mkdir(options.scratch, { recursive: true });
  await runOperations('msb', MSB_OPERATIONS, msbContext(options), onResult);
  await runSdk(options, onResult);
  return results;
}

function environment({ url, apiKey, scratch }: ConformanceOptions): Record<string, string> {
  const path = `${dirname(process.execPath)}:${process.env['PATH']}`;
  return { PATH: path, HOME: scratch, TERM: 'xterm', MSB_BACKEND: 'cloud', MSB_API_URL: url, MSB_API_KEY: apiKey };
}

function msbContext(options: ConformanceOptions): MsbContext {
  const env = environment(options);
  const { msb } = options.clients;
  const withInput = (input: string | undefined) => (input === undefined ? {} : { input });
  return {
    image: options.image,
    hostFolder: options.hostFolder,
    scratch: options.scratch,
    msb: (args, input, more = {}) => command(msb, args, { env: { ...env, ...more }, ...withInput(input) }),
    terminal: (args, input) => {
      const line = [msb, ...args].map((arg) => `'${arg.replaceAll("'", `'\\''`)}'`).join(' ');
      return command('script', ['-qec', line, '/dev/null'], { env, ...withInput(input) });
    },
    follow: (args, until, meanwhile) => follow(msb, args, env, until, meanwhile),
  };
}

async function follow(
  msb: string,
  args: readonly string[],
  env: Record<string, string>,
  until: (text: string) => boolean,
  meanwhile: () => Promise<unknown>,
): Promise<string> {
  const child = spawn(msb, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  const seen = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        text += chunk;
        if (until(text)) resolve();
      });
    child.once('close', () => resolve());
    setTimeout(resolve, FOLLOW_TIMEOUT_MS).unref();
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
  const { clients, image, scratch } = options;
  const child = spawn(process.execPath, [SDK_MAIN, clients.folder, image, scratch], {
    env: environment(options),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    for await (const line of createInterface(child.stdout)) onResult(JSON.parse(line) as OperationResult);
  } finally {
    child.kill('SIGKILL');
  }
}

/** Where the results of one driver are kept, from which the page is made. */
export function resultsFile(driver: string): string {
  return join(fileURLToPath(new URL('results', import.meta.url)), `${driver}.json`);
}
