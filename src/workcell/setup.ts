import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import type { Config } from '../config/config.ts';
import { WorkcellError } from '../core/errors.ts';
import type { DriverProbe, OnProgress } from '../sandbox/driver.ts';
import { createDriver, prepareDriver } from './sandbox-backend.ts';

export interface SetUpOptions {
  /** Asked before packages are installed. */
  readonly confirm: (question: string) => Promise<boolean>;
  readonly onProgress: OnProgress;
}

export interface Examination extends DriverProbe {
  readonly driver: string;
  readonly node: string;
}

/** Whether the configured driver can run here, or why not. Changes nothing. */
export async function examine(config: Config): Promise<Examination> {
  await using driver = await createDriver(config);
  const probe = await driver.probe();
  return {
    driver: driver.name,
    node: process.version,
    ...probe,
    facts: { node: process.version, ...probe.facts, cache: config.paths.cache },
  };
}

/**
 * Gets everything that guests need: packages, as root on Debian and its relatives; then the guest's kernel and runtime and a
 * template. Does only what is still missing. Throws `driver_unavailable` with the commands to run when it may not install.
 */
export async function setUp(config: Config, { confirm, onProgress }: SetUpOptions): Promise<void> {
  await using driver = await createDriver(config);
  const packages = packagesOf(await driver.probe());
  if (packages.length > 0) await installPackages(packages, confirm, onProgress);
  const { ready, problems } = await driver.probe();
  if (!ready)
    throw new WorkcellError(
      'driver_unavailable',
      `Programs cannot run here yet. ${problems.map(({ what, fix }) => `${what}: ${fix}`).join('; ')}`,
    );
  await prepareDriver(driver, onProgress);
}

function packagesOf({ problems }: DriverProbe): string[] {
  return [...new Set(problems.flatMap((problem) => problem.packages ?? []))];
}

async function installPackages(
  packages: readonly string[],
  confirm: SetUpOptions['confirm'],
  onProgress: OnProgress,
): Promise<void> {
  const install = ['install', '--yes', '--no-install-recommends', ...packages];
  const command = `apt-get update && apt-get ${install.join(' ')}`;
  const refuse = (why: string) =>
    new WorkcellError('driver_unavailable', `${why}; run as root: ${command}`, { details: { packages } });
  if (process.getuid?.() !== 0)
    throw refuse(`Packages are missing (${packages.join(', ')}) and only root can install them`);
  if (!(await hasApt()))
    throw new WorkcellError(
      'driver_unavailable',
      `Packages are missing and this is not Debian or Ubuntu; install what they provide: ${packages.join(', ')}`,
    );
  if (!(await confirm(`Install ${packages.join(', ')} with apt-get?`)))
    throw refuse(`Packages are missing (${packages.join(', ')})`);
  onProgress(`installing ${packages.join(', ')} with apt-get`);
  await aptGet(['update']);
  await aptGet(install);
}

async function hasApt(): Promise<boolean> {
  return promisify(execFile)('apt-get', ['--version']).then(
    () => true,
    () => false,
  );
}

/** What it says goes nowhere unless it fails; its last lines are then the reason. */
async function aptGet(args: readonly string[]): Promise<void> {
  const child = spawn('apt-get', ['-qq', ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: aptEnvironment() });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said = (said + chunk).slice(-2000);
    });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new WorkcellError('driver_unavailable', `apt-get ${args.join(' ')} failed: ${said.trim()}`);
}

function aptEnvironment(): Record<string, string> {
  return { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive' };
}
