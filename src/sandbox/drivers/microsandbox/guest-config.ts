import type { GuestSpec, ImageSpec, VolumeMount } from '../../driver.ts';
import { environmentOf } from '../../driver-kit/environment.ts';
import { DOLLAR, JAIL } from './jail.ts';

/**
 * What `msb create --conf` reads: a guest as the jail sees it. `programs` are the folders of the host that make up the image
 * `host`.
 *
 * Source: superradcompany/microsandbox `docs/cli/configuration.mdx`.
 */
export function guestConfig(spec: GuestSpec, programs: readonly string[] = []): Readonly<Record<string, unknown>> {
  return escaped({
    image: toImage(spec.image),
    pull_policy: 'never',
    cpus: spec.cpus,
    memory: `${spec.memoryMib}M`,
    hostname: spec.hostname,
    workdir: spec.workdir,
    env: environmentOf(spec.env),
    mounts: [...(spec.image.kind === 'host' ? programs.map(toProgramMount) : []), ...spec.mounts.map(toMount)],
    ...(spec.user === undefined ? {} : { user: spec.user }),
    ...(spec.rlimits === undefined ? {} : { rlimits: spec.rlimits }),
    ...(spec.image.kind === 'oci' ? { patches: [{ mkdir: { path: spec.workdir } }] } : {}),
  });
}

function toImage(image: ImageSpec): Readonly<Record<string, string>> {
  switch (image.kind) {
    case 'host':
    case 'directory':
      return { bind: JAIL.image };
    case 'disk':
      return { disk: `${JAIL.disk}.${image.format}` };
    case 'oci':
      return { oci: image.reference };
    default:
      return image satisfies never;
  }
}

/** The host's file system may have no extended attributes, which strictness would ask for. */
function toProgramMount(path: string): Readonly<Record<string, unknown>> {
  return { bind: path, target: path, readonly: true, nosuid: true, nodev: true, stat_virtualization: 'relaxed' };
}

function toMount(mount: VolumeMount, index: number): Readonly<Record<string, unknown>> {
  const { target, options } = mount;
  if (mount.kind === 'tmpfs') {
    return { tmpfs: mount.sizeMib === undefined ? {} : { size: `${mount.sizeMib}M` }, target, ...options };
  }
  // Modes are real on the host's side too, so that a workspace looks the same from every kind of sandbox.
  return { bind: JAIL.mount(index), target, ...options, stat_virtualization: 'relaxed', host_permissions: 'mirror' };
}

/** The reader replaces `${NAME}` in every string, from the environment of the jail. */
function escaped<T>(value: T): T {
  return JSON.parse(JSON.stringify(value).replaceAll('${', `\${${DOLLAR}}{`)) as T;
}
