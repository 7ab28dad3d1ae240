import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import type { Config } from '../config/config.ts';
import { WorkcellError } from '../core/errors.ts';
import type { DriverProbe, OnProgress } from '../sandbox/driver.ts';
import { createDriver, type DriverReport, reportDrivers } from './driver-choice.ts';
import { describeEmbeddings } from './embeddings.ts';
import { prepareDriver } from './sandbox-backend.ts';

export interface SetUpOptions {
  /** Asked before packages are installed. */
  readonly confirm: (question: string) => Promise<boolean>;
  readonly onProgress: OnProgress;
}

export interface Examination extends DriverProbe {
  /** The one that is used; when none can run, the one that takes least to get. */
  readonly driver: string;
  readonly node: string;
  /** Every driver of this build, the strongest first. */
  readonly drivers: readonly DriverReport[];
}

/** Which drivers can run here, which one is used, or why none can. Changes nothing. */
export async function examine(config: Config): Promise<Examination> {
  const drivers = await reportDrivers(config);
  const { chosen: _, ...report } = drivers.find(({ chosen }) => chosen) ?? nearest(drivers);
  return {
    ...report,
    node: process.version,
    drivers,
    facts: {
      node: process.version,
      ...report.facts,
      cache: config.paths.cache,
      embeddings: await describeEmbeddings(config),
    },
  };
}

/**
 * Gets everything that guests need: packages, as root on Debian and its relatives; then the guest's kernel and runtime and a
 * template. Does only what is still missing. Throws `driver_unavailable` with the commands to run when it may not install.
 */
export async function setUp(config: Config, { confirm, onProgress }: SetUpOptions): Promise<void> {
  const { ready, problems } = await examine(config);
  const packages = packagesOf(problems);
  if (!ready && packages.length > 0) await installPackages(packages, confirm, onProgress);
  await using driver = await createDriver(config);
  await prepareDriver(driver, onProgress);
}

/** The first that packages would make ready; the first of all when there is none. */
function nearest(drivers: readonly DriverReport[]): DriverReport {
  const installable = drivers.find(({ problems }) => problems.every(({ packages }) => packages !== undefined));
  const report = installable ?? drivers[0];
  if (report === undefined) throw new WorkcellError('driver_unavailable', 'This build has no driver');
  return report;
}

function packagesOf(problems: DriverProbe['problems']): string[] {
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
