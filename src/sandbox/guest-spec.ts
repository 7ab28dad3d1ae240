import { realpath } from 'node:fs/promises';
import { isAbsolute, resolve, sep } from 'node:path';
import { WorkcellError } from '../core/errors.ts';
import type { NetworkPolicy } from '../core/network-policy.ts';
import { egressEnvironment } from '../protocol/egress.ts';
import { fromCloudPolicy } from '../protocol/network-policy.ts';
import type { CreateSandboxRequest, MountRequest } from '../protocol/rest.ts';
import type { GuestSpec, ImageSpec, NetworkSpec, SandboxDriver, VolumeMount } from './driver.ts';
import { type SecretValues, toGuestSecrets } from './guest-secrets.ts';
import { SCRIPTS_FOLDER } from './guest-setup.ts';
import type { SandboxRecord } from './sandbox-store.ts';
import type { VolumeStore } from './volumes.ts';

export interface GuestSpecContext {
  readonly driver: SandboxDriver;
  readonly volumes: VolumeStore;
  /** Folders of the host below which bind mounts are allowed. */
  readonly bindRoots: readonly string[];
  /** Folders that no bind mount may show: not they themselves, nothing in them, and no folder that holds them. */
  readonly closedFolders: readonly string[];
  /** What an image's name stands for, beside `host`: `host`, or a folder of the host that holds a root file system. */
  readonly images: Readonly<Record<string, string>>;
  /** What guests may reach at most. */
  readonly allowed: NetworkPolicy;
}

const DEFAULT_WORKDIR = '/workspace';
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What a driver is to boot for this request. Whatever cannot be honoured is refused by name, never ignored. */
export async function toGuestSpec(
  { id, orgId, request }: Pick<SandboxRecord, 'id' | 'orgId' | 'request'>,
  context: GuestSpecContext,
  secretValues: SecretValues = new Map(),
): Promise<GuestSpec> {
  refuseUnsupported(request, context.driver);
  const { runtime, rlimits } = request;
  const { driver } = context;
  const network = toNetwork(request, context);
  const secrets = toGuestSecrets(request, secretValues);
  return {
    id,
    hostname: request.name.slice(0, 63),
    image: toImage(request, context),
    cpus: request.resources.vcpus,
    memoryMib: request.resources.memory_mib,
    mounts: await Promise.all(request.mounts.map((mount) => toVolumeMount(mount, orgId, context))),
    ...(network === undefined ? {} : { network }),
    ...(secrets === undefined ? {} : { secrets }),
    env: [
      ...(network === undefined || driver.capabilities.network === 'native' ? [] : egressEnvironment()),
      ...toEnv(request),
    ],
    workdir: runtime.workdir ?? DEFAULT_WORKDIR,
    ...(runtime.user ? { user: runtime.user } : {}),
    ...(rlimits.length > 0 ? { rlimits } : {}),
  };
}

function refuseUnsupported(request: CreateSandboxRequest, { capabilities }: SandboxDriver): void {
  const { network, registry } = request;
  const asked: Readonly<Record<string, unknown>> = {
    init: request.init,
    'resources.disk_size_mib': request.resources.disk_size_mib,
    'network.secrets': capabilities.secrets ? 0 : network.secrets?.entries.length,
    'network.strict': network.strict && capabilities.network === 'proxy',
    security_profile: request.security_profile === 'restricted',
    registry: registry?.mode === 'inline' || registry?.mode === 'specific',
    patches: request.patches.some(({ type }) => type === 'copy_file' || type === 'copy_dir'),
  };
  for (const [field, value] of Object.entries(asked)) {
    if (value !== undefined && value !== null && value !== false && value !== 0)
      throw unsupported(`"${field}"`, INSTEAD[field] ?? 'leave it out');
  }
}

const INSTEAD: Readonly<Record<string, string>> = {
  'network.secrets': 'only the driver "microsandbox" can keep a secret from the guest that uses it',
  patches: 'a patch cannot copy from the host; mount the folder, or send the text',
  registry: 'pull the image where the server runs, or leave "registry" out',
};

/**
 * What the guest may reach: what both the server and the request allow. A network is no more than allowed, so where the server
 * allows none, a guest without one fits every request.
 */
export function toNetwork(
  { network }: CreateSandboxRequest,
  { allowed, driver }: Pick<GuestSpecContext, 'allowed' | 'driver'>,
): NetworkSpec | undefined {
  if (!network.enabled || allowed.rules.length === 0) return undefined;
  if (driver.capabilities.network === 'none')
    throw unsupported('a network', `the driver "${driver.name}" has none; disable it for this sandbox`);
  const { policy, max_connections: maxConnections } = network;
  const policies = [allowed, ...(policy ? [fromCloudPolicy(policy)] : [])];
  return {
    policies: policies.map((each) => (typeof maxConnections === 'number' ? { ...each, maxConnections } : each)),
    ...(network.strict ? { strict: true } : {}),
  };
}

/** A configured name comes first, so that an administrator decides what a reference means here. */
function toImage({ image, pull_policy }: CreateSandboxRequest, { driver, images }: GuestSpecContext): ImageSpec {
  const { reference } = image;
  const names: Readonly<Record<string, string>> = { host: 'host', ...images };
  const kinds = driver.capabilities.images;
  const meaning = Object.hasOwn(names, reference) ? names[reference] : undefined;
  if (meaning === 'host' && kinds.includes('host')) return { kind: 'host' };
  if (meaning !== undefined && meaning !== 'host' && kinds.includes('directory'))
    return { kind: 'directory', path: meaning };
  if (meaning === undefined && kinds.includes('oci')) {
    if (pull_policy === 'if_missing') return { kind: 'oci', reference };
    throw unsupported(`"pull_policy": "${pull_policy}"`, 'leave it out');
  }
  const bootable = Object.entries(names).filter(([, each]) => kinds.includes(each === 'host' ? 'host' : 'directory'));
  const known = bootable.map(([name]) => `"${name}"`).join(', ') || 'none';
  throw unsupported(
    `the image "${reference}"`,
    `the driver "${driver.name}" boots ${known} here; sandbox.images in the configuration names more`,
  );
}

function toEnv({ env, runtime }: CreateSandboxRequest): string[] {
  const entries = env.map(({ key, value }) => [key, value] as const);
  if (Object.keys(runtime.scripts).length === 0) return entries.map((entry) => entry.join('='));
  const path = env.findLast(({ key }) => key === 'PATH')?.value ?? DEFAULT_PATH;
  const others = entries.filter(([key]) => key !== 'PATH');
  return [...others, ['PATH', `${SCRIPTS_FOLDER}:${path}`] as const].map((entry) => entry.join('='));
}

async function toVolumeMount(mount: MountRequest, orgId: string, context: GuestSpecContext): Promise<VolumeMount> {
  const { guest: target, options } = mount;
  switch (mount.type) {
    case 'tmpfs':
      return { kind: 'tmpfs', target, options, ...(mount.size_mib ? { sizeMib: mount.size_mib } : {}) };
    case 'named':
      return {
        kind: 'directory',
        ...(await context.volumes.pathOf(orgId, mount.name)),
        target,
        options,
      };
    case 'bind': {
      const quota = toQuota(mount.quota_mib, context.driver);
      return { kind: 'directory', path: await allowedPath(mount.host, context), target, options, ...quota };
    }
    case 'disk_image':
      throw unsupported('a mount of type "disk_image"', 'mount a directory or a named volume');
    default:
      return mount satisfies never;
  }
}

function toQuota(quota: number | null | undefined, { name, capabilities }: SandboxDriver): { quotaMib?: number } {
  if (typeof quota !== 'number') return {};
  if (capabilities.quotas) return { quotaMib: quota };
  throw unsupported(
    '"quota_mib" of a bind mount',
    `the driver "${name}" cannot bound a folder; use a named volume with a capacity`,
  );
}

/** Compared after links are resolved, and the resolved path is what gets mounted. */
async function allowedPath(path: string, { bindRoots, closedFolders }: GuestSpecContext): Promise<string> {
  const refused = new WorkcellError(
    'invalid_argument',
    'The host path of a bind mount does not exist or is outside of the folders that this server allows',
  );
  if (!isAbsolute(path)) throw refused;
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined) throw refused;
  for (const folder of closedFolders) {
    const closed = await realpath(folder).catch(() => resolve(folder));
    if (isWithin(real, closed) || isWithin(closed, real)) throw refused;
  }
  for (const root of bindRoots) {
    const base = await realpath(root).catch(() => undefined);
    if (base !== undefined && isWithin(real, base)) return real;
  }
  throw refused;
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder + sep);
}

function unsupported(what: string, instead: string): WorkcellError {
  return new WorkcellError('unsupported', `This server cannot provide ${what}: ${instead}`);
}
