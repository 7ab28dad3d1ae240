import { join } from 'node:path';
import type { GuestSpec } from '../../driver.ts';
import type { HostPart } from '../../driver-kit/host-image.ts';
import { hostSide, quote, WRITABLE } from '../../driver-kit/mount-options.ts';
import { GUEST_ETC } from '../../guest-runtime/obtain-runtime.ts';
import type { MicrosandboxInstall } from './install.ts';
import { JAIL } from './jail.ts';
import { bind, overlay } from './mount-script.ts';

export interface GuestJailOptions {
  readonly spec: GuestSpec;
  readonly programs: readonly HostPart[];
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

export interface GuestBoot {
  readonly install: MicrosandboxInstall;
  /** Of `msb create`. */
  readonly flags: readonly string[];
  /** The names of the variables that hold secrets. */
  readonly secrets: readonly string[];
}

/**
 * Lines of shell that boot the guest and end when it has ended. Their standard input is shell too, which sets the variables
 * that hold secrets. `msb create` alone gets them; the machine monitor is told of them as of everything else, over a pipe.
 */
export function bootCommands({ install, flags, secrets }: GuestBoot): string[] {
  const msb = `/runtime/${install.msb}`;
  const create = [msb, 'create', '--quiet', '--name', 'guest', '--conf', JAIL.config, ...flags].map(quote).join(' ');
  const monitor = `#!/bin/sh\nunset ${secrets.join(' ')}\nexec ${msb} "$@"\n`;
  return [
    `exec >${JAIL.log} 2>&1`,
    ...(secrets.length === 0
      ? [create]
      : [
          `printf %s ${quote(monitor)} >${JAIL.monitor}`,
          `chmod 700 ${JAIL.monitor}`,
          `(eval "$(cat)"; export MSB_PATH=${JAIL.monitor}; exec ${create} </dev/null)`,
        ]),
    // It holds the environment of the guest's programs.
    `rm ${JAIL.config}`,
    `touch ${JAIL.ready}`,
    // The machine monitor holds this lock for as long as it lives, however it ends.
    `exec flock ${JAIL.home}/run/locks/*.lock true`,
  ];
}

/** The guest writes into its image; each gets a layer of its own over it. */
function imageCommands({ image, workdir }: GuestSpec, programs: readonly HostPart[]): string[] {
  const root = JAIL.image.slice(1);
  const start = startFolder(root, workdir);
  if (image.kind === 'directory') return [...overlay(image.path, root, 'layers/image'), ...start];
  if (image.kind !== 'host') return [];
  return [
    `mkdir -p layers/host ${root}`,
    `mount --bind layers/host ${root}`,
    // The folders themselves are mounts of the guest.
    ...programs.map(({ path, link }) =>
      link === undefined ? `mkdir -p ${root}${path}` : `ln -s ${quote(link)} ${root}${path}`,
    ),
    `mkdir -p ${root}/etc ${root}/root ${root}/run ${root}/var`,
    `mkdir -m 1777 ${root}/tmp`,
    ...Object.entries(GUEST_ETC).map(([name, text]) => `printf %s ${quote(text)} >${root}/etc/${name}`),
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

function volumeCommands(mount: GuestSpec['mounts'][number], index: number): string[] {
  if (mount.kind === 'tmpfs') return [];
  const target = JAIL.mount(index).slice(1);
  const commands = bind(mount.path, target, hostSide(mount.options));
  // The host has the image mounted there; without it nothing would bound what the guest writes.
  return mount.capacityImage === undefined ? commands : [`mountpoint -q ${quote(mount.path)}`, ...commands];
}
