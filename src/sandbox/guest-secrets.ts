import { WorkcellError } from '../core/errors.ts';
import type { NetworkSecrets } from '../protocol/network-secrets.ts';
import type { CreateSandboxRequest } from '../protocol/rest.ts';
import { Secret } from '../util/secret.ts';
import type { GuestSecret, GuestSecrets } from './driver.ts';

/** The values of a sandbox's secrets by their names. They are held in memory, and written down nowhere. */
export type SecretValues = ReadonlyMap<string, Secret>;

type Entry = NetworkSecrets['entries'][number];

/** A request, and apart from it the values that must not be kept with it. */
export function partSecrets(request: CreateSandboxRequest): {
  readonly request: CreateSandboxRequest;
  readonly values: SecretValues;
} {
  const { secrets } = request.network;
  if (!secrets) return { request, values: new Map() };
  const entries = secrets.entries.map((entry) => ({ ...entry, value: '' }));
  const given = secrets.entries.filter(({ value }) => value !== '');
  return {
    request: { ...request, network: { ...request.network, secrets: { ...secrets, entries } } },
    values: new Map(given.map(({ env_var, value }) => [env_var, new Secret(value)])),
  };
}

/**
 * What a driver needs to know of a request's secrets; undefined when there are none. Throws `unsupported` for what no driver
 * can do, and `invalid_argument` for a secret whose value is not known.
 */
export function toGuestSecrets(
  { network: { secrets } }: CreateSandboxRequest,
  values: SecretValues,
): GuestSecrets | undefined {
  if (!secrets || secrets.entries.length === 0) return undefined;
  const { entries, on_violation } = secrets;
  if (on_violation.type === 'passthrough') throw refused('on_violation', 'a placeholder never leaves for another host');
  if (new Set(entries.map(({ env_var }) => env_var)).size < entries.length)
    throw new WorkcellError('invalid_argument', 'Two secrets have the same name; give each variable one secret');
  return {
    entries: entries.map((entry) => toGuestSecret(entry, values)),
    onViolation: VIOLATIONS[on_violation.type],
  };
}

const VIOLATIONS = {
  block: 'block',
  block_and_log: 'block-and-log',
  block_and_terminate: 'block-and-terminate',
} as const;

function toGuestSecret(entry: Entry, values: SecretValues): GuestSecret {
  const { env_var: name, injection } = entry;
  const { body, ...parts } = injection;
  if (entry.source) throw refused('source', 'this server looks nothing up for its clients; send the value');
  if (entry.on_violation) throw refused('on_violation of one secret', 'set it for all of them');
  if (body) throw refused('injection.body', 'send the secret in a header');
  if (entry.placeholder !== `$MSB_${name}`) throw refused('placeholder', `it can only be "$MSB_${name}"`);
  const value = values.get(name);
  if (value === undefined)
    throw new WorkcellError(
      'invalid_argument',
      `The value of the secret "${name}" is not known: none was sent, or the server has started again and keeps none; create the sandbox with it`,
    );
  return {
    name,
    value,
    hosts: entry.allowed_hosts.map((host) => {
      if (host.type === 'any') throw refused('allowed_hosts', 'name the hosts that may have the secret');
      return host.value;
    }),
    inject: (['headers', 'basic_auth', 'query_params'] as const).filter((part) => parts[part]),
    requiresTls: entry.require_tls_identity,
  };
}

function refused(field: string, instead: string): WorkcellError {
  return new WorkcellError(
    'unsupported',
    `This server cannot provide "${field}" of network.secrets as asked: ${instead}`,
  );
}
