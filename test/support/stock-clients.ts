import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { npmPackage } from './npm-package.ts';

export const STOCK_VERSION = '0.6.18';
const INTEGRITY = 'sha512-M38LkxCk6ppz7qXuQ+bHAgahX4bWNgNdrN5OIFpm7OVV1Bqfpvbwog+zP/QvIiImNHgIleB7M8dU1Kd4jTdwvg==';

const run = promisify(execFile);

/** The SDK and the command of Microsandbox itself, as their makers publish them. */
export interface StockClients {
  readonly msb: string;
  /** Where `import 'microsandbox'` finds the SDK. */
  readonly folder: string;
}

/** Installs them once into a cache of the user; fails when the registry cannot be reached before that. */
export async function stockClients(): Promise<StockClients> {
  const folder = await npmPackage({ name: 'microsandbox', version: STOCK_VERSION, integrity: INTEGRITY });
  return { msb: join(folder, 'node_modules/@superradcompany/microsandbox-linux-x64-gnu/bin/msb'), folder };
}

/** What a command says and how it ends; never rejects. */
export interface CommandOutcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

export async function command(
  file: string,
  args: readonly string[],
  options: { readonly env: Readonly<Record<string, string>>; readonly input?: string; readonly timeoutMs?: number },
): Promise<CommandOutcome> {
  const env = { PATH: `${dirname(process.execPath)}:${process.env['PATH']}`, ...options.env };
  const running = run(file, [...args], { env, timeout: options.timeoutMs ?? 170_000 });
  // A command may end without having read everything.
  running.child.stdin?.on('error', () => {}).end(options.input ?? '');
  try {
    return { ...(await running), code: 0 };
  } catch (error) {
    const { stdout = '', stderr = '', code } = error as { stdout?: string; stderr?: string; code?: unknown };
    return { stdout, stderr, code: typeof code === 'number' ? code : null };
  }
}
