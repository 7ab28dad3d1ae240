import { execFile } from 'node:child_process';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

export const STOCK_VERSION = '0.6.18';
const INSTALL_TIMEOUT_MS = 120_000;

const run = promisify(execFile);

/** The SDK and the command of Microsandbox itself, as their makers publish them. */
export interface StockClients {
  readonly msb: string;
  /** Where `import 'microsandbox'` finds the SDK. */
  readonly folder: string;
}

/** Installs them once into a cache of the user; fails when the registry cannot be reached before that. */
export async function stockClients(): Promise<StockClients> {
  const folder = join(homedir(), '.cache/workcell-test', `microsandbox-${STOCK_VERSION}`);
  const msb = join(folder, 'node_modules/@superradcompany/microsandbox-linux-x64-gnu/bin/msb');
  const installed = await access(msb).then(
    () => true,
    () => false,
  );
  if (!installed) await install(folder);
  return { msb, folder };
}

async function install(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  // The npm that comes with this very node may be missing; the one in PATH does as well.
  const npm = ['install', '--no-audit', '--no-fund', '--ignore-scripts', `microsandbox@${STOCK_VERSION}`];
  try {
    await run('npm', npm, { cwd: folder, timeout: INSTALL_TIMEOUT_MS });
  } catch (cause) {
    const { stderr = '' } = cause as { stderr?: string };
    throw new Error(
      `Cannot install microsandbox@${STOCK_VERSION} from the npm registry, which this test needs once:\n${stderr}`,
      {
        cause,
      },
    );
  }
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
  const running = run(file, [...args], { env, timeout: options.timeoutMs ?? 90_000 });
  // A command may end without having read everything.
  running.child.stdin?.on('error', () => {}).end(options.input ?? '');
  try {
    return { ...(await running), code: 0 };
  } catch (error) {
    const { stdout = '', stderr = '', code } = error as { stdout?: string; stderr?: string; code?: unknown };
    return { stdout, stderr, code: typeof code === 'number' ? code : null };
  }
}
