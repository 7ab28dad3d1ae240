import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type GuestClaim,
  type GuestMount,
  type GuestPrime,
  type GuestRefresh,
  RUNTIME_DIRECTORY,
} from '../../protocol/guest-bootstrap.ts';
import { SYSCALL } from '../../protocol/launch-plan.ts';
import { programProcessOptions } from '../runner/options.ts';
import { Supervisor } from '../runner/supervisor.ts';
import type { AgentOptions } from './agent-options.ts';
import { errnoNameOf } from './errno.ts';
import { addFolder, addMount, MOUNT_FLAG, named, SetUp } from './set-up.ts';
import { StepPlan } from './step-plan.ts';

const VIEW = '/.workcell/view';
const OVERLAY = '/.workcell/overlay';
/** The runtime again, where no image can cover it. */
const RUNTIME = '/.workcell/runtime';
/** Where the kernel lists the devices that may be the view. */
const VIEW_DEVICES = '/sys/bus/virtio/drivers/virtiofs';
const RETRY_MS = 2;
const CLOCK_REALTIME = 0;
/** Of `include/uapi/linux/random.h`. */
const RNDRESEEDCRNG = 0x5207;
/** Of `include/uapi/linux/capability.h`. */
const CAPABILITY_VERSION_3 = 0x2008_0522;
const CAP_FOWNER = 1n << 3n;
/** Folders that the guest makes itself; an image never covers them. */
const OWN = ['proc', 'sys', 'dev', 'tmp', 'run', 'workspace'];

/** What waits in a template: started before, so that nothing of this size has to be started after. */
export interface Waiting {
  readonly setUp: SetUp;
  readonly supervisor: Supervisor;
}

export function startWaiting(): Waiting {
  return { setUp: new SetUp(), supervisor: new Supervisor(programProcessOptions(RUNTIME)) };
}

/**
 * Makes the guest ready for whoever comes: clock, randomness, the image, and, when there is time for it, a process for a
 * program.
 *
 * A restored guest repeats the randomness of its template until the kernel has been reseeded. No process that a program
 * could see is started before that.
 */
export async function primeGuest(prime: GuestPrime, { setUp, supervisor }: Waiting): Promise<void> {
  await setUp.perform(refresh(prime, new StepPlan()));
  // A customer who waits already gets all of the CPU for the first command.
  if (prime.rehearse) supervisor.open(baseEnvironment());
  await mountView(prime.tag, setUp);
  await setUp.perform(image());
}

/** Makes the primed guest one customer's: clock and randomness once more, then what only this customer sees. */
export async function claimGuest(
  claim: GuestClaim,
  { setUp, supervisor }: Waiting,
): Promise<Omit<AgentOptions, 'link'>> {
  const { hostname, mounts, workdir, user, rlimits } = claim;
  const steps = refresh(claim, new StepPlan());
  for (const mount of mounts) addVolume(steps, mount);
  await setUp.perform(steps);
  setUp.end();
  writeFileSync('/proc/sys/kernel/hostname', hostname);
  writeFileSync('/proc/sys/kernel/threads-max', String(threads() + claim.processes));
  writeFileSync('/proc/sys/fs/nr_open', String(claim.descriptors));
  const env = environment(claim);
  supervisor.adapt(env);
  return {
    supervisor,
    env,
    workdir,
    ...(user === undefined ? {} : { user }),
    ...(rlimits === undefined ? {} : { rlimits }),
  };
}

/** Of the kernel, the agent and the process that waits for a program. */
function threads(): number {
  const [, total] = /^\S+ \S+ \S+ \d+\/(\d+) /.exec(readFileSync('/proc/loadavg', 'utf8')) ?? [];
  return Number(total ?? 0);
}

/** Mixes the host's bytes into the kernel's pool; the steps set the clock and make the kernel use the bytes. */
function refresh({ time, seed }: GuestRefresh, steps: StepPlan): StepPlan {
  writeFileSync('/dev/urandom', seed);
  steps.add(named('set the clock'), SYSCALL.clockSettime, [CLOCK_REALTIME, steps.plan.bytes(timespec(time))]);
  steps.add(named('reseed the kernel'), SYSCALL.ioctl, [SetUp.URANDOM, RNDRESEEDCRNG, 0]);
  return steps;
}

/** The device may still be on its way: it is plugged in while the guest runs. The driver's deadline bounds the wait. */
async function mountView(tag: string, setUp: SetUp): Promise<void> {
  for (;;) {
    while (!readdirSync(VIEW_DEVICES).some((name) => name.startsWith('virtio'))) await delay(RETRY_MS);
    const steps = new StepPlan();
    addMount(steps, { source: tag, target: VIEW, type: 'virtiofs' });
    const failure = await setUp.perform(steps).catch((error: Error) => error);
    if (failure === undefined) return;
    // A device is listed a moment before its tag is known.
    if (errnoNameOf(failure.cause) !== 'EINVAL') throw failure;
    await delay(RETRY_MS);
  }
}

/** Lays the image over the guest's own root, folder by folder, each under an overlay that the guest may write to. */
function image(): StepPlan {
  const steps = new StepPlan();
  for (const entry of readdirSync(`${VIEW}/root`, { withFileTypes: true })) {
    const { name } = entry;
    if (name.startsWith('.') || OWN.includes(name)) continue;
    const [path, target] = [`${VIEW}/root/${name}`, `/${name}`];
    if (entry.isSymbolicLink()) {
      if (!existsSync(target)) symlinkSync(readlinkSync(path), target);
    } else if (entry.isDirectory()) {
      // The dot makes the kernel mount the part of the share that begins here, which an overlay would not do.
      const { uid } = statSync(`${path}/.`);
      if (uid !== 0) actAsStranger(steps);
      const [upper, work] = [`${OVERLAY}/${name}/upper`, `${OVERLAY}/${name}/work`];
      for (const folder of [upper, work, target]) mkdirSync(folder, { recursive: true });
      const data = `lowerdir=${path}:${target},upperdir=${upper},workdir=${work}`;
      addMount(steps, { source: 'overlay', target, type: 'overlay', data });
    }
  }
  // An image may have covered it.
  addFolder(steps, RUNTIME_DIRECTORY);
  addMount(steps, { source: RUNTIME, target: RUNTIME_DIRECTORY, flags: MOUNT_FLAG.bind });
  return steps;
}

/**
 * An overlay opens files with `O_NOATIME` when it may, by what its mounter may do. A file server that an ordinary user runs is
 * refused that for files of the host's root, so the mounter must not pass for their owner.
 */
function actAsStranger(steps: StepPlan): void {
  const permitted = BigInt(
    `0x${/^CapPrm:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`,
  );
  const header = Buffer.alloc(8);
  header.writeUInt32LE(CAPABILITY_VERSION_3);
  const sets = Buffer.alloc(24);
  for (const [word, shift] of [0n, 32n].entries()) {
    sets.writeUInt32LE(Number(((permitted & ~CAP_FOWNER) >> shift) & 0xffff_ffffn), word * 12);
    sets.writeUInt32LE(Number((permitted >> shift) & 0xffff_ffffn), word * 12 + 4);
  }
  steps.add(named('give up ownership'), SYSCALL.capset, [steps.plan.bytes(header), steps.plan.bytes(sets)]);
}

function addVolume(steps: StepPlan, { source, target, options, sizeMib }: GuestMount): void {
  const flags = options.reduce((sum, name) => sum | MOUNT_FLAG[name], 0);
  addFolder(steps, target);
  if (source === undefined) {
    const size = sizeMib === undefined ? {} : { data: `size=${sizeMib}m` };
    addMount(steps, { source: 'tmpfs', target, type: 'tmpfs', flags, ...size });
    return;
  }
  addMount(steps, { source: `${VIEW}/mounts/${source}`, target, flags: MOUNT_FLAG.bind });
  // Options here are comfort only: what makes a volume read-only is the host's side of the share.
  if (flags !== 0) addMount(steps, { source: 'none', target, flags: flags | MOUNT_FLAG.bind | MOUNT_FLAG.remount });
}

/** A `struct timespec`: seconds and nanoseconds. */
function timespec(time: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigInt64LE(BigInt(Math.floor(time)), 0);
  bytes.writeBigInt64LE(BigInt(Math.floor((time % 1) * 1e9)), 8);
  return bytes;
}

function baseEnvironment(): Record<string, string> {
  return {
    PATH: `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${RUNTIME_DIRECTORY}/bin`,
    HOME: '/root',
    LANG: 'C.UTF-8',
    TERM: 'dumb',
  };
}

function environment(claim: GuestClaim): Record<string, string> {
  const env = baseEnvironment();
  for (const entry of claim.env) {
    const at = entry.indexOf('=');
    if (at > 0) env[entry.slice(0, at)] = entry.slice(at + 1);
  }
  return env;
}
