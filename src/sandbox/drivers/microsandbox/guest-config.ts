import { WorkcellError } from '../../../core/errors.ts';
import type { Secret } from '../../../util/secret.ts';
import type { GuestSecret, GuestSpec, ImageSpec, VolumeMount } from '../../driver.ts';
import { environmentOf } from '../../driver-kit/environment.ts';
import { optionNames } from '../../driver-kit/mount-options.ts';
import { DOLLAR, JAIL } from './jail.ts';

/**
 * What `msb create --conf` reads: a guest as the jail sees it. `programs` are the folders of the host that make up the image
 * `host`.
 *
 * Source: superradcompany/microsandbox `docs/cli/configuration.mdx`.
 */
export function guestConfig(spec: GuestSpec, programs: readonly string[] = []): Readonly<Record<string, unknown>> {
  const config = escaped({
    image: toImage(spec.image),
    pull_policy: 'never',
    cpus: spec.cpus,
    memory: `${spec.memoryMib}M`,
    hostname: spec.hostname,
    workdir: spec.workdir,
    env: environmentOf(spec.env),
    mounts: [...(spec.image.kind === 'host' ? programs.map(toProgramMount) : []), ...spec.mounts.flatMap(toTmpfs)],
    ...(spec.user === undefined ? {} : { user: spec.user }),
    ...(spec.rlimits === undefined ? {} : { rlimits: spec.rlimits }),
    ...(spec.image.kind === 'oci' ? { patches: [{ mkdir: { path: spec.workdir } }] } : {}),
  });
  const secrets = spec.secrets?.entries.map(toSecret);
  return { ...config, ...(secrets === undefined ? {} : { secrets: Object.fromEntries(secrets) }) };
}

/**
 * The flags of `msb create` for folders of the host. The configuration has no word for a quota, and without one the runtime
 * sets 4 GiB of its own.
 */
export function mountFlags({ mounts }: GuestSpec): string[] {
  return mounts.flatMap((mount, index) => {
    if (mount.kind !== 'directory') return [];
    const { target, options, quotaMib = UNBOUNDED_MIB } = mount;
    if (/[:;,]/.test(target))
      throw new WorkcellError(
        'unsupported',
        `The driver "microsandbox" cannot mount at "${target}": leave ":", ";" and "," out of the path`,
      );
    // Modes are real on the host's side too, so that a workspace looks the same from every kind of sandbox.
    const how = [...optionNames(options), 'stat-virt=relaxed', 'host-perms=mirror', `quota=${quotaMib}M`];
    return ['--mount-dir', `${JAIL.mount(index)}:${target}:${how.join(',')}`];
  });
}

const UNBOUNDED_MIB = 2 ** 31 - 1;

export function secretFlags({ secrets }: GuestSpec): string[] {
  return secrets === undefined ? [] : ['--on-secret-violation', secrets.onViolation];
}

/** The variables from which `msb` reads what the configuration only names, and their values. */
export function secretVariables({ secrets }: GuestSpec): readonly (readonly [string, Secret])[] {
  return secrets?.entries.map(({ value }, index) => [variable(index), value] as const) ?? [];
}

function variable(index: number): string {
  return `WORKCELL_SECRET_${index}`;
}

/** A value that is exactly a reference is kept by the runtime as one. */
function toSecret({ name, hosts, inject, requiresTls }: GuestSecret, index: number): readonly [string, unknown] {
  const value = `\${${variable(index)}}`;
  return [name, { value, allow: hosts, inject, require_tls_identity: requiresTls }];
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

function toTmpfs(mount: VolumeMount): Readonly<Record<string, unknown>>[] {
  if (mount.kind !== 'tmpfs') return [];
  const { target, options, sizeMib } = mount;
  return [{ tmpfs: sizeMib === undefined ? {} : { size: `${sizeMib}M` }, target, ...options }];
}

/** The reader replaces `${NAME}` in every string, from the environment of the jail. */
function escaped<T>(value: T): T {
  return JSON.parse(JSON.stringify(value).replaceAll('${', `\${${DOLLAR}}{`)) as T;
}
