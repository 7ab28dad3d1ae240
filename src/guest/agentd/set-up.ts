import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { SYSCALL } from '../../protocol/launch-plan.ts';
import type { Step } from './exec-failure.ts';
import { startLaunch, type WaitingLaunch } from './launch.ts';
import type { StepPlan } from './step-plan.ts';

/** As many as a start has: clock and randomness, the view, the image, the customer. */
const PLANS = 4;

/**
 * Processes that do what this one cannot, such as mounting. They wait in a template: under an emulated CPU, starting one
 * takes longer than all that it does.
 */
export class SetUp {
  /** The descriptor that the kernel's pool of randomness has in the calls. */
  static readonly URANDOM = 4;
  readonly #urandom = openSync('/dev/urandom', 'w');
  readonly #waiting: WaitingLaunch[] = Array.from({ length: PLANS }, () => this.#start());

  /** Performs the steps in their order. Throws the first system call that fails; nothing after it was done. */
  async perform(steps: StepPlan): Promise<void> {
    steps.add(named('end'), SYSCALL.exitGroup, [0]);
    const { perform } = this.#waiting.shift() ?? this.#start();
    const failure = await perform(steps.plan.encode());
    if (failure === undefined) return;
    const { error, tag } = failure;
    throw new Error(`Cannot ${steps.step(tag)?.stage}: ${error.message}`, { cause: error });
  }

  /** Performs the steps with a process beyond those that a start has. */
  async rehearse(steps: StepPlan): Promise<void> {
    this.#waiting.push(this.#start());
    await this.perform(steps);
  }

  /** Ends those that were not needed. */
  end(): void {
    for (const { child } of this.#waiting.splice(0)) child.kill('SIGKILL');
    closeSync(this.#urandom);
  }

  #start(): WaitingLaunch {
    return startLaunch('ignore', [this.#urandom]);
  }
}

/** A step that is known by what it does. */
export function named(stage: string): Step {
  return { stage, kind: undefined };
}

/** Flags of mount(2). */
export const MOUNT_FLAG = { ro: 1, nosuid: 2, nodev: 4, noexec: 8, remount: 32, bind: 4096 } as const;

export interface MountStep {
  readonly source: string;
  readonly target: string;
  /** Default: none, as for what is bound. */
  readonly type?: string;
  /** Of {@link MOUNT_FLAG}. Default 0. */
  readonly flags?: number;
  readonly data?: string;
}

export function addMount(steps: StepPlan, { source, target, type = 'none', flags = 0, data = '' }: MountStep): void {
  const { plan } = steps;
  const texts = [plan.text(source), plan.text(target), plan.text(type)] as const;
  steps.add(named(`mount ${target}`), SYSCALL.mount, [...texts, flags, plan.text(data)]);
}

/** Makes a folder, and those above it, where there is none. */
export function addFolder(steps: StepPlan, path: string): void {
  const names = path.split('/').filter((name) => name !== '');
  for (let depth = 1; depth <= names.length; depth++) {
    const folder = `/${names.slice(0, depth).join('/')}`;
    steps.add(named(`make ${folder}`), SYSCALL.mkdir, [steps.plan.text(folder), 0o755], constants.errno.EEXIST);
  }
}
