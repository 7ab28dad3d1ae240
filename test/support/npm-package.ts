import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';

const INSTALL_TIMEOUT_MS = 280_000;
const run = promisify(execFile);

/** One version of a package, and no other content than the one that was looked at. */
export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  /** Of the package itself, as npm's lock files spell it. */
  readonly integrity: string;
}

/**
 * The folder whose `node_modules` holds the package. It is installed once, into a cache of the user, without running anything of
 * it; fails when the registry cannot be reached before that, and when it gives another content.
 */
export async function npmPackage(wanted: NpmPackage): Promise<string> {
  const { name, version, integrity } = wanted;
  const folder = join(homedir(), '.cache/workcell-test', `${basename(name)}-${version}`);
  if ((await integrityOf(name, folder)) === undefined) await install(wanted, folder);
  const found = await integrityOf(name, folder);
  if (found === integrity) return folder;
  throw new Error(`${name}@${version} in ${folder} has the integrity ${found}, and not ${integrity}`);
}

async function integrityOf(name: string, folder: string): Promise<string | undefined> {
  const lock = await readFile(join(folder, 'node_modules/.package-lock.json'), 'utf8').catch(() => undefined);
  if (lock === undefined) return undefined;
  const { packages } = JSON.parse(lock) as { packages: Readonly<Record<string, { readonly integrity?: string }>> };
  return packages[`node_modules/${name}`]?.integrity;
}

async function install({ name, version }: NpmPackage, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  // The npm that comes with this very node may be missing; the one in PATH does as well.
  const npm = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--save-exact', `${name}@${version}`];
  try {
    await run('npm', npm, { cwd: folder, timeout: INSTALL_TIMEOUT_MS });
  } catch (cause) {
    const { stderr = '' } = cause as { stderr?: string };
    const message = `Cannot install ${name}@${version} from the npm registry, which this test needs once:\n${stderr}`;
    throw new Error(message, { cause });
  }
}
