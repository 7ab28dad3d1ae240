import { accessSync, constants, statSync } from 'node:fs';
import { constants as system } from 'node:os';
import { resolve } from 'node:path';
import { SYSCALL } from '../../protocol/launch-plan.ts';
import type { Account } from './accounts.ts';
import { errnoError } from './errno.ts';
import { EXEC_STEP, ExecFailure, stepFailure } from './exec-failure.ts';
import { encodeLimit, type ResourceLimit, resourceNumber } from './resource-limits.ts';
import { StepPlan } from './step-plan.ts';
import { planTerminal, type Size } from './terminal.ts';

/** A command with all defaults applied. */
export interface CommandSpec {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Undefined to stay who the agent is. */
  readonly account: Account | undefined;
  readonly limits: readonly ResourceLimit[];
  readonly terminal: Size | undefined;
}

/**
 * What `launch` does to become the command, in the original's order: the terminal, the folder, the user, the limits.
 *
 * Throws an {@link ExecFailure} for what is known to fail already.
 */
export function planCommand(spec: CommandSpec): StepPlan {
  const steps = new StepPlan();
  const { plan } = steps;
  try {
    if (spec.terminal !== undefined) planTerminal(steps, spec.terminal);
    steps.add({ stage: 'chdir', kind: 'bad_cwd' }, SYSCALL.chdir, [plan.text(spec.cwd)]);
    if (spec.account !== undefined) planAccount(steps, spec.account);
    for (const limit of spec.limits) planLimit(steps, limit);
    planExecution(steps, spec);
    return steps;
  } catch (error) {
    if (error instanceof ExecFailure) throw error;
    throw stepFailure(spec.command, EXEC_STEP, error);
  }
}

function planAccount(steps: StepPlan, { uid, gid, groups }: Account): void {
  const kind = 'user_setup_failed';
  const ids = Buffer.from(Uint32Array.from(groups).buffer);
  steps.add({ stage: 'setgroups', kind }, SYSCALL.setgroups, [groups.length, steps.plan.bytes(ids)]);
  steps.add({ stage: 'setgid', kind }, SYSCALL.setgid, [gid]);
  steps.add({ stage: 'setuid', kind }, SYSCALL.setuid, [uid]);
}

function planLimit(steps: StepPlan, limit: ResourceLimit): void {
  const kind = 'resource_limit';
  const stage = `setrlimit(RLIMIT_${limit.resource.toUpperCase()})`;
  const resource = resourceNumber(limit.resource);
  if (resource === undefined) {
    const error = errnoError(system.errno.EINVAL);
    throw new ExecFailure({ kind, stage, error, message: `There is no resource "${limit.resource}" to limit` });
  }
  steps.add({ stage, kind }, SYSCALL.prlimit64, [0, resource, steps.plan.bytes(encodeLimit(limit)), 0]);
}

function planExecution(steps: StepPlan, { command, args, env, cwd }: CommandSpec): void {
  const { plan } = steps;
  const file = findProgram(command, env['PATH'] ?? '', cwd);
  const environment = plan.texts(Object.entries(env).map(([name, value]) => `${name}=${value}`));
  const argv = plan.texts([command, ...args]);
  // A file without a first line that names its interpreter is a shell script, by POSIX.
  steps.add(EXEC_STEP, SYSCALL.execve, [plan.text(file), argv, environment], system.errno.ENOEXEC);
  const script = plan.texts(['/bin/sh', file, ...args]);
  steps.add(EXEC_STEP, SYSCALL.execve, [plan.text('/bin/sh'), script, environment]);
}

/** As `execvp` searches; a file that may not be executed is taken when there is no other, so that the kernel says why. */
function findProgram(command: string, path: string, cwd: string): string {
  if (command === '') throw new RangeError('The command has no name');
  if (command.includes('/')) return command;
  const candidates = path.split(':').map((folder) => resolve(cwd, folder, command));
  const file = candidates.find(isExecutable) ?? candidates.find(isFile);
  if (file === undefined) throw errnoError(system.errno.ENOENT);
  return file;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return isFile(path);
  } catch {
    return false;
  }
}
