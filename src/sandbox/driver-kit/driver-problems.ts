import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { WorkcellError } from '../../core/errors.ts';
import { findCommand } from '../../util/find-command.ts';
import type { DriverProblem } from '../driver.ts';

const LDD_TIMEOUT_MS = 15_000;

const run = promisify(execFile);

export function missing(what: string, debianPackage: string): DriverProblem {
  return {
    what: `${what} is not installed`,
    fix: `Install the Debian package ${debianPackage}`,
    packages: [debianPackage],
  };
}

/** Those of `commands` that are not on this host; each comes with the Debian package that brings it. */
export async function missingCommands(commands: Readonly<Record<string, string>>): Promise<DriverProblem[]> {
  const found = await Promise.all(
    Object.entries(commands).map(async ([command, debianPackage]) =>
      (await findCommand(command)) === undefined ? [missing(command, debianPackage)] : [],
    ),
  );
  return found.flat();
}

/** Guests run busybox whatever their image holds. `path` is undefined when there is none. */
export async function busyboxProblems(path: string | undefined): Promise<DriverProblem[]> {
  if (path !== undefined && (await isStatic(path))) return [];
  return [missing('A static busybox', 'busybox-static')];
}

async function isStatic(path: string): Promise<boolean> {
  // Some versions of ldd say so by failing.
  return run('ldd', [path], { timeout: LDD_TIMEOUT_MS }).then(
    ({ stdout }) => !stdout.includes('=>'),
    () => true,
  );
}

/** What a driver throws that is asked for a guest and cannot run here. */
export function unavailable(driver: string, problems: readonly DriverProblem[]): WorkcellError {
  const reasons = problems.map(({ what, fix }) => `${what}: ${fix}`).join('; ');
  return new WorkcellError(
    'driver_unavailable',
    `The driver "${driver}" cannot run here. ${reasons}. \`workcell setup\` does what it can`,
  );
}
