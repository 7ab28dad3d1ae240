import type { NetworkSecrets } from '../protocol/network-secrets.ts';
import type { CreateSandboxRequest } from '../protocol/rest.ts';

/**
 * Who reads a sandbox's description. `document` is what openapi.json describes; `sdk` is what the stock SDK and command
 * can show: they read the field `spec` as a configuration of their own, in which an image is an object and a processor is
 * called `cpus`, and show `-` for everything when it is not one.
 *
 * Stock clients also start commands with the environment of `spec`, when it decodes as the request that made the sandbox. In
 * neither form does it: an image there is an object with a `type`. So no client ever sends the words that stand for a value.
 */
export type SpecReader = 'document' | 'sdk';

/** By the header that every stock client sends. */
export function specReaderOf(userAgent: string | undefined): SpecReader {
  return userAgent?.startsWith('microsandbox-sdk/') === true ? 'sdk' : 'document';
}

/** What is told of a request: never where on the host something lies, never a value that could be a secret's. */
export function describeSpec(request: CreateSandboxRequest, reader: SpecReader): unknown {
  const { image, resources, runtime, env, labels, rlimits, lifecycle, mounts, network } = request;
  const forSdk = reader === 'sdk';
  return {
    image: forSdk ? { Oci: { reference: image.reference } } : image.reference,
    resources: forSdk ? { ...resources, cpus: resources.vcpus } : resources,
    runtime,
    env: env.map(({ key }) => ({ key, value: '[redacted]' })),
    labels,
    rlimits: rlimits.map((limit) => ({ ...limit, resource: capitalised(limit.resource) })),
    lifecycle,
    mounts: mounts.map((mount) => describeMount(mount, forSdk)),
    network: {
      enabled: network.enabled,
      ports: [],
      trust_host_cas: false,
      ...(network.policy ? { policy: network.policy } : {}),
      ...(network.secrets && !forSdk ? { secrets: network.secrets.entries.map(describeSecret) } : {}),
      ...(typeof network.max_connections === 'number' ? { max_connections: network.max_connections } : {}),
    },
  };
}

/** By its fields, so that nothing is told that is not named here. */
function describeSecret({
  env_var,
  placeholder,
  allowed_hosts,
  injection,
}: NetworkSecrets['entries'][number]): unknown {
  return { env_var, placeholder, allowed_hosts, injection };
}

function describeMount(mount: CreateSandboxRequest['mounts'][number], forSdk: boolean): unknown {
  const { guest, options } = mount;
  const policies = { stat_virtualization: 'strict', host_permissions: 'private' };
  switch (mount.type) {
    case 'tmpfs':
      return { type: 'Tmpfs', guest, options, size_mib: mount.size_mib ?? null };
    case 'named':
      return { type: 'Named', guest, options, ...policies, ...(forSdk ? { name: mount.name } : {}) };
    case 'bind':
      return {
        type: 'Bind',
        guest,
        options,
        ...policies,
        quota_mib: mount.quota_mib ?? null,
        ...(forSdk ? { host: '' } : {}),
      };
    case 'disk_image':
      return { type: 'DiskImage', guest, options, format: capitalised(mount.format), ...(forSdk ? { host: '' } : {}) };
    default:
      return mount satisfies never;
  }
}

function capitalised(word: string): string {
  return word.slice(0, 1).toUpperCase() + word.slice(1);
}
