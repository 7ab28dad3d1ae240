import { realpath } from 'node:fs/promises';
import { isAbsolute, sep } from 'node:path';
import { WorkcellError } from '../core/errors.ts';
import type { CreateSandboxRequest, MountRequest } from '../protocol/rest.ts';
import type { GuestSpec, ImageSpec, SandboxDriver, VolumeMount } from './driver.ts';
import type { VolumeStore } from './volumes.ts';

export interface GuestSpecContext {
  readonly driver: SandboxDriver;
  readonly volumes: VolumeStore;
  /** Folders of the host below which bind mounts are allowed. */
  readonly bindRoots: readonly string[];
  /** What an image's name stands for, beside `host`: a folder of the host that holds a root file system. */
  readonly images: Readonly<Record<string, string>>;
}

const DEFAULT_WORKDIR = '/workspace';

/** What a driver is to boot for this request. Whatever cannot be honoured is refused by name, never ignored. */
export async function toGuestSpec(
  id: string,
  request: CreateSandboxRequest,
  context: GuestSpecContext,
): Promise<GuestSpec> {
  refuseUnsupported(request);
  return {
    id,
    hostname: request.name.slice(0, 63),
    image: toImage(request.image.reference, context),
    cpus: request.resources.vcpus,
    memoryMib: request.resources.memory_mib,
    mounts: await Promise.all(request.mounts.map((mount) => toVolumeMount(mount, context))),
    env: request.env.map(({ key, value }) => `${key}=${value}`),
    workdir: request.runtime.workdir ?? DEFAULT_WORKDIR,
  };
}

/** A network is no more than allowed, so a guest without one fits every policy; secrets and limits must hold. */
function refuseUnsupported(request: CreateSandboxRequest): void {
  const asked: Readonly<Record<string, unknown>> = {
    rlimits: request.rlimits.length > 0,
    patches: request.patches.length > 0,
    init: request.init,
    'resources.disk_size_mib': request.resources.disk_size_mib,
    'network.secrets': request.network.secrets?.entries.length,
    'runtime.user': request.runtime.user,
    'runtime.cmd': request.runtime.cmd?.length,
    'runtime.entrypoint': request.runtime.entrypoint?.length,
    'runtime.scripts': Object.keys(request.runtime.scripts).length,
  };
  for (const [field, value] of Object.entries(asked)) {
    if (value !== undefined && value !== null && value !== false && value !== 0)
      throw unsupported(`"${field}"`, 'leave it out');
  }
}

/** A configured name comes first, so that an administrator decides what a reference means here. */
function toImage(reference: string, { driver, images }: GuestSpecContext): ImageSpec {
  const kinds = driver.capabilities.images;
  const path = Object.hasOwn(images, reference) ? images[reference] : undefined;
  if (path !== undefined && kinds.includes('directory')) return { kind: 'directory', path };
  if (path === undefined && reference === 'host' && kinds.includes('host')) return { kind: 'host' };
  if (path === undefined && kinds.includes('oci')) return { kind: 'oci', reference };
  throw unsupported(`the image "${reference}"`, `the driver "${driver.name}" boots the image "host"`);
}

async function toVolumeMount(mount: MountRequest, context: GuestSpecContext): Promise<VolumeMount> {
  const { guest: target, options } = mount;
  switch (mount.type) {
    case 'tmpfs':
      return { kind: 'tmpfs', target, options, ...(mount.size_mib ? { sizeMib: mount.size_mib } : {}) };
    case 'named':
      return { kind: 'directory', path: await context.volumes.pathOf(mount.name), target, options };
    case 'bind':
      if (mount.quota_mib) throw unsupported('"quota_mib" of a bind mount', 'leave it out');
      return { kind: 'directory', path: await allowedPath(mount.host, context.bindRoots), target, options };
    case 'disk_image':
      throw unsupported('a mount of type "disk_image"', 'mount a directory or a named volume');
    default:
      return mount satisfies never;
  }
}

/** Compared after links are resolved, and the resolved path is what gets mounted. */
async function allowedPath(path: string, roots: readonly string[]): Promise<string> {
  const refused = new WorkcellError(
    'invalid_argument',
    'The host path of a bind mount does not exist or is outside of the folders that this server allows',
  );
  if (!isAbsolute(path)) throw refused;
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined) throw refused;
  for (const root of roots) {
    const base = await realpath(root).catch(() => undefined);
    if (base !== undefined && (real === base || real.startsWith(base + sep))) return real;
  }
  throw refused;
}

function unsupported(what: string, instead: string): WorkcellError {
  return new WorkcellError('unsupported', `This server cannot provide ${what}: ${instead}`);
}
