import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findCommand } from '../../../util/find-command.ts';
import type { DriverProbe, DriverProblem } from '../../driver.ts';
import { busyboxProblems, missingCommands } from '../../driver-kit/driver-problems.ts';
import { kvmProblems } from '../../driver-kit/kvm.ts';
import { findInstall, type MicrosandboxInstall, PACKAGE } from './install.ts';

/** What was found on this host; complete only when the probe reports no problem. */
export interface MicrosandboxHost {
  readonly install: MicrosandboxInstall;
  readonly busybox: string;
}

export interface MicrosandboxProbe extends DriverProbe {
  readonly host: MicrosandboxHost | undefined;
}

/** Commands that assemble a guest's view of this host, and the Debian package of each. */
const COMMANDS: Readonly<Record<string, string>> = {
  unshare: 'util-linux',
  setpriv: 'util-linux',
  flock: 'util-linux',
  mount: 'mount',
  pivot_root: 'util-linux',
  ldd: 'libc-bin',
  cp: 'coreutils',
};

const RUN_TIMEOUT_MS = 15_000;

const run = promisify(execFile);

/** Looks for everything that a guest needs here; every reason against comes with what to do. Never throws. */
export async function probeMicrosandbox(): Promise<MicrosandboxProbe> {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    const what = `This machine is ${process.platform} ${process.arch}`;
    return report([{ what, fix: 'Use Linux on x86-64 or arm64' }], {}, undefined);
  }
  const install = await findInstall();
  const busybox = await findCommand('busybox');
  const problems = [
    ...(await kvmProblems()),
    ...(await installProblems(install)),
    ...(await missingCommands(COMMANDS)),
    ...(await busyboxProblems(busybox)),
    ...(process.getuid?.() === 0 ? [] : [NOT_ROOT]),
  ];
  const facts = { microsandbox: install?.version ?? 'missing', ...(install ? { libkrunfw: install.libkrunfw } : {}) };
  return report(problems, facts, install && busybox ? { install, busybox } : undefined);
}

const NOT_ROOT: DriverProblem = {
  what: 'This process is not root, and only root can give each machine monitor a file system of its own',
  fix: 'Run the server as root, or use sandbox.driver: qemu',
};

function report(
  problems: readonly DriverProblem[],
  facts: Readonly<Record<string, string>>,
  host: MicrosandboxHost | undefined,
): MicrosandboxProbe {
  return { ready: problems.length === 0, isolation: 'hardware', problems, facts, host };
}

async function installProblems(install: MicrosandboxInstall | undefined): Promise<DriverProblem[]> {
  if (install === undefined) {
    const what = `The npm package ${PACKAGE}, or its part for this platform, is not installed`;
    return [{ what, fix: `Run npm install ${PACKAGE}, with Node 22 or newer and without --omit=optional` }];
  }
  try {
    await run(join(install.folder, install.msb), ['--version'], { timeout: RUN_TIMEOUT_MS, env: {} });
    return [];
  } catch (error) {
    // As on a system with an older glibc, or with musl.
    const { stderr = '' } = error as { stderr?: string };
    const what = `msb ${install.version} does not run here: ${stderr.trim().split('\n')[0] || 'it ended at once'}`;
    return [{ what, fix: 'Use a distribution with glibc 2.28 or newer' }];
  }
}
