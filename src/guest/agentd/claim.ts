import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { type GuestClaim, type GuestMount, RUNTIME_DIRECTORY } from '../../protocol/guest-bootstrap.ts';
import { programProcessOptions } from '../runner/options.ts';
import { Supervisor } from '../runner/supervisor.ts';
import { shellWord } from '../shell-word.ts';
import { Agent } from './agent.ts';
import type { AgentLink } from './agent-options.ts';

const VIEW = '/.workcell/view';
const OVERLAY = '/.workcell/overlay';
/** The runtime again, where no image can cover it. */
const RUNTIME = '/.workcell/runtime';
/** Folders that the guest makes itself; an image never covers them. */
const OWN = ['proc', 'sys', 'dev', 'tmp', 'run', 'workspace'];

/** What waits in a template for the claim: started before, so that nothing of this size has to be started after. */
export interface Waiting {
  readonly shell: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly supervisor: Supervisor;
}

export function startWaiting(): Waiting {
  const shell = spawn(`${RUNTIME}/bin/busybox`, ['sh', '-eu'], { stdio: 'pipe' });
  return { shell, supervisor: new Supervisor(programProcessOptions(RUNTIME)) };
}

/**
 * Makes the waiting guest one customer's: its clock and randomness first, then its files.
 *
 * A restored guest repeats the randomness of its template until the kernel has been reseeded. No process that a program
 * could see is started before that.
 */
export async function claimGuest(claim: GuestClaim, { shell, supervisor }: Waiting, link: AgentLink): Promise<Agent> {
  const env = environment(claim);
  writeFileSync('/dev/urandom', claim.seed);
  mkdirSync('/workspace', { recursive: true });
  // The process for a program starts while the share arrives, which it does not need before it runs something.
  await runScript(shell, claim, () => supervisor.open(env));
  writeFileSync('/proc/sys/kernel/hostname', claim.hostname);
  return new Agent({ link, supervisor, env, workdir: claim.workdir });
}

async function runScript(shell: Waiting['shell'], claim: GuestClaim, onReseeded: () => void): Promise<void> {
  const script = [reseed(claim.time), mountView(claim.tag), IMAGE, ...claim.mounts.map(volume)].join('\n');
  let said = '';
  shell.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk).slice(-500);
  });
  shell.stdout.once('data', onReseeded);
  shell.stdin.on('error', () => {});
  shell.stdin.end(script);
  const [code] = (await once(shell, 'close')) as [number | null];
  if (code !== 0) throw new Error(said.trim() || `The set-up ended with code ${code}`);
}

/** Without a PATH, busybox uses its own commands, and executes nothing to do so. */
function reseed(time: number): string {
  const bytes = [...timespec(time)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  return `PATH=
printf '${bytes}' | ${RUNTIME}/bin/reseed
echo reseeded`;
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

function environment(claim: GuestClaim): Record<string, string> {
  const env: Record<string, string> = {
    PATH: `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${RUNTIME_DIRECTORY}/bin`,
    HOME: '/root',
    LANG: 'C.UTF-8',
    TERM: 'dumb',
  };
  for (const entry of claim.env) {
    const at = entry.indexOf('=');
    if (at > 0) env[entry.slice(0, at)] = entry.slice(at + 1);
  }
  return env;
}
