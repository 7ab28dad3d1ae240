import type { Config, SandboxConfig } from '../config/config.ts';
import { WorkcellError } from '../core/errors.ts';
import type { Isolation } from '../core/execution.ts';
import type { DriverProbe, DriverProblem, SandboxDriver } from '../sandbox/driver.ts';
import { BubblewrapDriver } from '../sandbox/drivers/bubblewrap/driver.ts';
import { MicrosandboxDriver } from '../sandbox/drivers/microsandbox/driver.ts';
import { QemuDriver } from '../sandbox/drivers/qemu/driver.ts';
import type { MemoryBudget } from '../sandbox/memory-budget.ts';

/** What one driver could do here, under this configuration. */
export interface DriverReport extends DriverProbe {
  readonly driver: string;
  /** Whether it is the one that is used. */
  readonly chosen: boolean;
}

/** What the guests of one process share, whatever their driver. */
export interface Hosting {
  readonly budget?: MemoryBudget;
  /** Whether guests are to outlive this process. */
  readonly survives?: boolean;
}

type DriverName = Exclude<SandboxConfig['driver'], 'auto'>;

type DriverFactory = (config: Config, hosting: Hosting) => SandboxDriver | Promise<SandboxDriver>;

const MIB = 1024 * 1024;
const STRENGTH: Readonly<Record<Isolation, number>> = { process: 1, emulated: 2, hardware: 3 };

/** Every driver of this build, in the order in which `auto` tries them: the strongest isolation first. */
const FACTORIES: Readonly<Record<DriverName, DriverFactory>> = {
  microsandbox: ({ paths }) => new MicrosandboxDriver({ cache: paths.cache }),
  qemu: ({ paths, sandbox }, { budget, survives = false }) =>
    QemuDriver.create({
      cache: paths.cache,
      template: sandbox.template,
      defaults: { cpus: sandbox.cpus, memoryMib: Math.floor(sandbox.memoryBytes / MIB) },
      processes: sandbox.processes,
      descriptors: sandbox.descriptors,
      pool: { size: sandbox.pool, survives, ...(budget === undefined ? {} : { budget }) },
    }),
  bubblewrap: ({ paths, sandbox }) =>
    new BubblewrapDriver({ cache: paths.cache, processes: sandbox.processes, descriptors: sandbox.descriptors }),
};

/**
 * The driver of the configuration. `auto` takes the first that can run here and isolates at least as well as
 * `sandbox.isolation` asks for. Throws `driver_unavailable` when there is none, and `invalid_config` for a driver that cannot be
 * as strong as asked anywhere.
 */
export async function createDriver(config: Config, hosting: Hosting = {}): Promise<SandboxDriver> {
  const { driver: name, isolation } = config.sandbox;
  if (name === 'auto') return createBest(config, hosting);
  const factory = FACTORIES[name];
  const driver = await factory(config, hosting);
  const weakness = weaknessOf(driver.isolation, isolation);
  if (weakness === undefined) return driver;
  await driver[Symbol.asyncDispose]();
  const code = driver.isolation === 'process' ? 'invalid_config' : 'driver_unavailable';
  throw new WorkcellError(code, `Cannot use the driver "${name}": ${weakness.what}; ${weakness.fix}`);
}

/** Looks at every driver: whether it can run here, what is missing, and which one is used. Changes nothing. */
export async function reportDrivers(config: Config): Promise<readonly DriverReport[]> {
  const { driver: wanted, isolation } = config.sandbox;
  const reports: DriverReport[] = [];
  for (const [name, factory] of Object.entries(FACTORIES)) {
    await using driver = await factory(config, {});
    const probe = await driver.probe();
    const weakness = weaknessOf(driver.isolation, isolation);
    const problems = weakness === undefined ? probe.problems : [weakness, ...probe.problems];
    const ready = problems.length === 0 && probe.ready;
    const first = !reports.some(({ chosen }) => chosen);
    reports.push({
      ...probe,
      driver: name,
      ready,
      problems,
      chosen: wanted === name || (wanted === 'auto' && ready && first),
    });
  }
  return reports;
}

async function createBest(config: Config, hosting: Hosting): Promise<SandboxDriver> {
  const reasons: string[] = [];
  for (const [name, factory] of Object.entries(FACTORIES)) {
    const driver = await factory(config, hosting);
    const weakness = weaknessOf(driver.isolation, config.sandbox.isolation);
    const { ready, problems } = await driver.probe();
    if (ready && weakness === undefined) return driver;
    await driver[Symbol.asyncDispose]();
    const said = (weakness === undefined ? problems : [weakness]).map(({ what, fix }) => `${what}: ${fix}`);
    reasons.push(`${name}: ${said.join('; ')}`);
  }
  throw new WorkcellError(
    'driver_unavailable',
    `No driver can run here. ${reasons.join('. ')}. \`workcell setup\` does what it can`,
  );
}

/** Undefined when `actual` is as strong as `least`. */
function weaknessOf(actual: Isolation, least: Isolation): DriverProblem | undefined {
  if (STRENGTH[actual] >= STRENGTH[least]) return undefined;
  return {
    what: `its isolation here is "${actual}" and sandbox.isolation asks for at least "${least}"`,
    fix: `set sandbox.isolation to "${actual}" if that is enough`,
  };
}
