import { type CustomerValue, customerValuesIn, fillCustomerValues } from '../util/customer-value.ts';
import { Secret } from '../util/secret.ts';
import type { UpstreamServer } from './upstream-server.ts';

/** Whether each customer must have a connection of its own. */
export function isPerCustomer(server: UpstreamServer): boolean {
  return server.perCustomer === true || customerValues(server).length > 0;
}

/** The keys of the credentials that the server is reached with, each once. */
export function credentialKeys(server: UpstreamServer): readonly string[] {
  const keys = customerValues(server).flatMap((value) => (value.kind === 'credential' ? [value.key] : []));
  return [...new Set(keys)];
}

/** True when some value names the customer's folder. */
export function wantsFolder(server: UpstreamServer): boolean {
  return customerValues(server).some(({ kind }) => kind === 'folder');
}

export interface CustomerFacts {
  readonly id: string;
  /** An absolute path of the host. */
  readonly folder: string;
  /** Holds every key of {@link credentialKeys}. */
  readonly credentials: ReadonlyMap<string, Secret>;
}

/** The server as one customer reaches it. */
export function serverFor(server: UpstreamServer, facts: CustomerFacts): UpstreamServer {
  const fill = (text: string) =>
    fillCustomerValues(text, (value) => {
      if (value.kind === 'credential') return facts.credentials.get(value.key)?.reveal() ?? '';
      return value.kind === 'id' ? facts.id : facts.folder;
    });
  const fillSecrets = (secrets: Readonly<Record<string, Secret>>) =>
    Object.fromEntries(Object.entries(secrets).map(([name, value]) => [name, new Secret(fill(value.reveal()))]));
  if (server.kind === 'http') return { ...server, headers: fillSecrets(server.headers) };
  return { ...server, args: server.args.map(fill), env: fillSecrets(server.env) };
}

function customerValues(server: UpstreamServer): readonly CustomerValue[] {
  const secrets = Object.values(server.kind === 'http' ? server.headers : server.env).map((value) => value.reveal());
  return [...secrets, ...(server.kind === 'http' ? [] : server.args)].flatMap(customerValuesIn);
}
