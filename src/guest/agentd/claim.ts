import { execFile, execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { type GuestClaim, type GuestMount, RUNTIME_DIRECTORY } from '../../protocol/guest-bootstrap.ts';
import { programProcessOptions } from '../runner/options.ts';
import { Supervisor } from '../runner/supervisor.ts';
import { Agent } from './agent.ts';
import type { AgentLink } from './agent-options.ts';

const VIEW = '/.workcell/view';
const OVERLAY = '/.workcell/overlay';
/** The runtime again, where no image can cover it. */
const RUNTIME = '/.workcell/runtime';
/** Folders that the guest makes itself; an image never covers them. */
const OWN = new Set(['proc', 'sys', 'dev', 'tmp', 'run', 'workspace', '.workcell']);

const run = promisify(execFile);

/**
 * Makes the waiting guest one customer's: its clock and randomness first, then its files.
 *
 * A restored guest repeats the randomness of its template until the kernel has been reseeded. No process that a program
 * could see is started before that.
 */
export async function claimGuest(claim: GuestClaim, link: AgentLink): Promise<Agent> {
  setClockAndRandomness(claim);

  const env = environment(claim);
  const supervisor = new Supervisor(programProcessOptions(env, RUNTIME));
  mkdirSync('/workspace', { recursive: true });
  // Its start overlaps with the arrival of the share, which it does not need before it runs a program.
  supervisor.prefork();

  await mountView(claim.tag);

  await shell([...imageMounts(), ...claim.mounts.flatMap(volumeMount)]);

  writeFileSync('/proc/sys/kernel/hostname', claim.hostname);
  return new Agent({ link, supervisor, env, workdir: claim.workdir });
}

function setClockAndRandomness(claim: GuestClaim): void {
  writeFileSync('/dev/urandom', claim.seed);
  const time = Buffer.alloc(16);
  time.writeBigInt64LE(BigInt(Math.floor(claim.time)), 0);
  time.writeBigInt64LE(BigInt(Math.floor((claim.time % 1) * 1e9)), 8);
  execFileSync(`${RUNTIME_DIRECTORY}/bin/reseed`, { input: time });
}

/** The device may still be on its way: it is plugged in while the guest runs. The driver's deadline bounds the wait. */
async function mountView(tag: string): Promise<void> {
  mkdirSync(VIEW, { recursive: true });
  mkdirSync(OVERLAY, { recursive: true });
  await shell([
    `until $bb mount -t virtiofs ${word(tag)} ${VIEW} ; do $bb usleep 5000; done`,
    `$bb mount -t tmpfs overlay ${OVERLAY}`,
  ]);
}

/** Lays the image over the guest's own root, folder by folder, each under an overlay that the guest may write to. */
function imageMounts(): string[] {
  const commands: string[] = [];
  for (const name of readdirSync(`${VIEW}/root`)) {
    if (OWN.has(name)) continue;
    const source = `${VIEW}/root/${name}`;
    const stat = lstatSync(source);
    if (stat.isSymbolicLink()) linkUnlessThere(readlinkSync(source), `/${name}`);
    else if (stat.isDirectory()) commands.push(overlayMount(source, `/${name}`, `${OVERLAY}/${name}`));
  }
  return [...commands, `$bb mkdir -p ${RUNTIME_DIRECTORY}`, `$bb mount --bind ${RUNTIME} ${RUNTIME_DIRECTORY}`];
}

/** The image first, what the guest brings itself below it. */
function overlayMount(image: string, target: string, scratch: string): string {
  for (const folder of [`${scratch}/upper`, `${scratch}/work`, target]) mkdirSync(folder, { recursive: true });
  const layers = `lowerdir=${image}:${target},upperdir=${scratch}/upper,workdir=${scratch}/work`;
  return `$bb mount -t overlay -o ${word(layers)} overlay ${word(target)}`;
}

function linkUnlessThere(to: string, path: string): void {
  try {
    symlinkSync(to, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function volumeMount(mount: GuestMount): string[] {
  const target = word(mount.target);
  const options = mount.options.join(',');
  if (mount.source === undefined) {
    const size = mount.sizeMib === undefined ? [] : [`size=${mount.sizeMib}m`];
    return [
      `$bb mkdir -p ${target}`,
      `$bb mount -t tmpfs -o ${word(['rw', ...size, options].filter(Boolean).join(','))} tmpfs ${target}`,
    ];
  }
  // Options here are comfort only: what makes a volume read-only is the host's side of the share.
  const remount = options === '' ? [] : [`$bb mount -o ${word(`remount,bind,${options}`)} ${target}`];
  return [`$bb mkdir -p ${target}`, `$bb mount --bind ${word(`${VIEW}/mounts/${mount.source}`)} ${target}`, ...remount];
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

/** One process for many commands: starting each from here would cost more than the mounts do. `$bb` is busybox. */
async function shell(commands: readonly string[]): Promise<void> {
  const busybox = `${RUNTIME}/bin/busybox`;
  await run(busybox, ['sh', '-ec', [`bb=${busybox}`, ...commands].join('\n')]);
}

function word(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
