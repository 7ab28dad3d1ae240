import { join } from 'node:path';
import type { GuestSpec } from '../../driver.ts';
import type { MicrosandboxInstall } from './install.ts';
import { JAIL } from './jail.ts';
import { bind, overlay, type ProgramFolder, quote, WRITABLE } from './mount-script.ts';

export interface GuestJailOptions {
  readonly spec: GuestSpec;
  readonly programs: readonly ProgramFolder[];
  /** The guest's private folder on the host. */
  readonly folder: string;
  /** Of an OCI image: folder of its layers. */
  readonly layers?: string;
}

/** Lines of shell for what a guest's jail holds beside the runtime. */
export function guestContents({ spec, programs, folder, layers }: GuestJailOptions): string[] {
  return [
    'mkdir mounts image layers',
    ...bind(join(folder, 'layers'), 'layers', WRITABLE),
    ...(layers === undefined ? [] : overlay(layers, 'msb/cache', 'layers/cache')),
    ...imageCommands(spec, programs),
    ...spec.mounts.flatMap(volumeCommands),
  ];
}

/** Lines of shell that boot the guest and end when it has ended. */
export function bootCommands(install: MicrosandboxInstall, flags: readonly string[]): string[] {
  return [
    `exec >${JAIL.log} 2>&1`,
    `/runtime/${install.msb} create --quiet --name guest --conf ${JAIL.config} ${flags.map(quote).join(' ')}`,
    // It holds the environment of the guest's programs.
    `rm ${JAIL.config}`,
    `touch ${JAIL.ready}`,
    // The machine monitor holds this lock for as long as it lives, however it ends.
    `exec flock ${JAIL.home}/run/locks/*.lock true`,
  ];
}

/** The guest writes into its image; each gets a layer of its own over it. */
function imageCommands({ image, workdir }: GuestSpec, programs: readonly ProgramFolder[]): string[] {
  const root = JAIL.image.slice(1);
  const start = startFolder(root, workdir);
  if (image.kind === 'directory') return [...overlay(image.path, root, 'layers/image'), ...start];
  if (image.kind !== 'host') return [];
  return [
    `mkdir -p layers/host ${root}`,
    `mount --bind layers/host ${root}`,
    // The folders themselves are mounts of the guest.
    ...programs.map(({ path, link }) =>
      link === undefined ? `mkdir ${root}${path}` : `ln -s ${quote(link)} ${root}${path}`,
    ),
    `mkdir -p ${root}/etc/alternatives ${root}/root ${root}/run ${root}/var`,
    `mkdir -m 1777 ${root}/tmp`,
    `echo ${quote(PASSWD)} >${root}/etc/passwd`,
    `echo ${quote(GROUP)} >${root}/etc/group`,
    `echo '127.0.0.1 localhost' >${root}/etc/hosts`,
    ...start,
  ];
}

/**
 * What programs start in is there in every image, when it lies at the top: on the way to anything deeper there may be links
 * of the image's own, which out here would lead into the host.
 */
function startFolder(root: string, workdir: string): string[] {
  if (!/^\/[^/]+$/.test(workdir)) return [];
  const path = quote(root + workdir);
  return [`[ -e ${path} ] || [ -L ${path} ] || mkdir ${path}`];
}

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin';
const GROUP = 'root:x:0:\nnogroup:x:65534:';

function volumeCommands(mount: GuestSpec['mounts'][number], index: number): string[] {
  if (mount.kind === 'tmpfs') return [];
  const target = JAIL.mount(index).slice(1);
  // Device nodes and set-user-id files of a guest are never honoured on the host's side, whatever was asked for.
  const options = { ...mount.options, nodev: true, nosuid: true };
  const commands = bind(mount.path, target, options);
  // The host has the image mounted there; without it nothing would bound what the guest writes.
  return mount.capacityImage === undefined ? commands : [`mountpoint -q ${quote(mount.path)}`, ...commands];
}
