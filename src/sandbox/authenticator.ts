import type { IncomingHttpHeaders } from 'node:http';
import { WorkcellError } from '../core/errors.ts';
import { ALL_SCOPES, DEFAULT_ORGANISATION, type Principal } from '../core/principal.ts';
import { Secret } from '../util/secret.ts';
import { hashOf } from './key-file.ts';
import { KeyStore } from './key-store.ts';
import { legacyCredential } from './legacy-token.ts';

/** A key that somebody else keeps, which makes an administrator; or a store of keys. */
export type KeySource = Secret | KeyStore;

const ADMINISTRATOR: Principal = { role: 'administrator', org: DEFAULT_ORGANISATION, scopes: ALL_SCOPES };

/** Tells from a request's headers whom it comes from. */
export class Authenticator {
  readonly #administrators: ReadonlySet<string>;
  readonly #stores: readonly KeyStore[];

  constructor(sources: readonly KeySource[]) {
    const secrets = sources.filter((source) => source instanceof Secret);
    this.#administrators = new Set(secrets.map((secret) => hashOf(secret.reveal())));
    this.#stores = sources.filter((source) => source instanceof KeyStore);
  }

  /** By `Authorization: Bearer KEY`. Throws `unauthenticated`. */
  async authenticate({ authorization = '' }: IncomingHttpHeaders): Promise<Principal> {
    const key = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
    if (key === undefined)
      throw new WorkcellError('unauthenticated', 'No API key was sent; send "Authorization: Bearer msb_…"');
    return (await this.#find(key)) ?? notValid();
  }

  /** Like {@link authenticate}, for JSON-RPC: header and key may have the forms of that line, too. */
  async authenticateLegacy(headers: IncomingHttpHeaders): Promise<Principal> {
    const key = legacyCredential(headers);
    if (key === undefined)
      throw new WorkcellError('unauthenticated', 'No API key was sent; send "Authorization: Bearer msb_…"');
    return (await this.#find(key)) ?? (await this.#ask((store) => store.findToken(key))) ?? notValid();
  }

  /** Whether what has let somebody in would do so still. */
  async isActive({ keyId }: Principal): Promise<boolean> {
    if (keyId === undefined) return true;
    for (const store of this.#stores) if (await store.isActive(keyId)) return true;
    return false;
  }

  async #find(key: string): Promise<Principal | undefined> {
    if (this.#administrators.has(hashOf(key))) return ADMINISTRATOR;
    return this.#ask((store) => store.find(key));
  }

  async #ask(question: (store: KeyStore) => Promise<Principal | undefined>): Promise<Principal | undefined> {
    for (const store of this.#stores) {
      const principal = await question(store);
      if (principal !== undefined) return principal;
    }
    return undefined;
  }
}

function notValid(): never {
  throw new WorkcellError('unauthenticated', 'The API key is not valid');
}
