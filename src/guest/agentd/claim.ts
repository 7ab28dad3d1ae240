import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import {
  type GuestClaim,
  type GuestMount,
  type GuestPrime,
  type GuestRefresh,
  RUNTIME_DIRECTORY,
} from '../../protocol/guest-bootstrap.ts';
import { programProcessOptions } from '../runner/options.ts';
import { Supervisor } from '../runner/supervisor.ts';
import { shellWord } from '../shell-word.ts';
import type { AgentOptions } from './agent-options.ts';

const VIEW = '/.workcell/view';
const OVERLAY = '/.workcell/overlay';
/** The runtime again, where no image can cover it. */
const RUNTIME = '/.workcell/runtime';
/** Folders that the guest makes itself; an image never covers them. */
const OWN = ['proc', 'sys', 'dev', 'tmp', 'run', 'workspace'];

/** What waits in a template: started before, so that nothing of this size has to be started after. */
export interface Waiting {
  readonly shell: SetupShell;
  readonly supervisor: Supervisor;
}

export function startWaiting(): Waiting {
  return { shell: new SetupShell(), supervisor: new Supervisor(programProcessOptions(RUNTIME)) };
}

/**
 * Makes the guest ready for whoever comes: clock, randomness, the image, and a process for a program.
 *
 * A restored guest repeats the randomness of its template until the kernel has been reseeded. No process that a program
 * could see is started before that.
 */
export async function primeGuest(prime: GuestPrime, { shell, supervisor }: Waiting): Promise<void> {
  await shell.run(refresh(prime));
  // The process for a program starts while the share arrives, which it does not need before it runs something.
  supervisor.open(baseEnvironment());
  await shell.run([mountView(prime.tag), IMAGE].join('\n'));
}

/** Makes the primed guest one customer's: clock and randomness once more, then what only this customer sees. */
export async function claimGuest(
  claim: GuestClaim,
  { shell, supervisor }: Waiting,
): Promise<Omit<AgentOptions, 'link'>> {
  const { hostname, mounts, workdir, user, rlimits } = claim;
  await shell.run([refresh(claim), ...mounts.map(volume)].join('\n'));
  shell.end();
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

/** Mixes the host's bytes into the kernel's pool; the script sets the clock and makes the kernel use the bytes. */
function refresh({ time, seed }: GuestRefresh): string {
  writeFileSync('/dev/urandom', seed);
  const bytes = [...timespec(time)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  return `printf '${bytes}' | ${RUNTIME}/bin/reseed`;
}

/** A busybox shell that does what this process cannot, such as mounting. The first command that fails ends it. */
class SetupShell {
  readonly #shell: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #gone: Promise<never>;
  #said = '';

  constructor() {
    this.#shell = spawn(`${RUNTIME}/bin/busybox`, ['sh', '-eu'], { stdio: 'pipe' });
    this.#shell.stderr.on('data', (chunk: Buffer) => {
      this.#said = (this.#said + chunk).slice(-500);
    });
    this.#shell.stdin.on('error', () => {});
    // Without a PATH, busybox uses its own commands, and executes nothing to do so.
    this.#shell.stdin.write('PATH=\n');
    this.#gone = new Promise((_, reject) => {
      this.#shell.once('close', (code) => reject(new Error(this.#said.trim() || `The set-up ended with code ${code}`)));
    });
    this.#gone.catch(() => {});
  }

  /** Resolves when the script has succeeded. */
  async run(script: string): Promise<void> {
    const done = new Promise<void>((resolve) => this.#shell.stdout.once('data', () => resolve()));
    this.#shell.stdin.write(`${script}\necho done\n`);
    await Promise.race([done, this.#gone]);
  }

  end(): void {
    this.#shell.stdin.end();
  }
}

/** The device may still be on its way: it is plugged in while the guest runs. The driver's deadline bounds the wait. */
function mountView(tag: string): string {
  return `mkdir -p ${VIEW} ${OVERLAY}
until mount -t virtiofs ${shellWord(tag)} ${VIEW} 2>/dev/null; do usleep 2000; done
mount -t tmpfs overlay ${OVERLAY}`;
}

/** Lays the image over the guest's own root, folder by folder, each under an overlay that the guest may write to. */
const IMAGE = `for path in ${VIEW}/root/*; do
  name=\${path##*/}
  case " ${OWN.join(' ')} " in *" $name "*) continue ;; esac
  if [ -h "$path" ]; then
    [ -e "/$name" ] || ln -s "$(readlink "$path")" "/$name"
  # The dot makes the kernel mount the part of the share that begins here, which an overlay would not do.
  elif [ -d "$path/." ]; then
    scratch=${OVERLAY}/$name
    mkdir -p "$scratch/upper" "$scratch/work" "/$name"
    mount -t overlay -o "lowerdir=$path:/$name,upperdir=$scratch/upper,workdir=$scratch/work" overlay "/$name"
  fi
done
mkdir -p ${RUNTIME_DIRECTORY}
mount --bind ${RUNTIME} ${RUNTIME_DIRECTORY}`;

function volume(mount: GuestMount): string {
  const target = shellWord(mount.target);
  const options = mount.options.join(',');
  if (mount.source === undefined) {
    const size = mount.sizeMib === undefined ? [] : [`size=${mount.sizeMib}m`];
    return `mkdir -p ${target}
mount -t tmpfs -o ${shellWord(['rw', ...size, options].filter(Boolean).join(','))} tmpfs ${target}`;
  }
  // Options here are comfort only: what makes a volume read-only is the host's side of the share.
  const remount = options === '' ? '' : `mount -o ${shellWord(`remount,bind,${options}`)} ${target}`;
  return `mkdir -p ${target}
mount --bind ${shellWord(`${VIEW}/mounts/${mount.source}`)} ${target}
${remount}`;
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
