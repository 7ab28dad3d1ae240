import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkcellError } from '../core/errors.ts';
import { readTextIfExists, writeFileAtomic } from '../util/atomic-file.ts';
import { Deadline } from '../util/deadline.ts';
import { FileLock } from '../util/file-lock.ts';
import { fileVersion } from '../util/file-version.ts';
import { Secret } from '../util/secret.ts';
import {
  hashOf,
  isActive,
  type KeyFile,
  NO_KEYS,
  newSecret,
  orgOf,
  parseKeyFile,
  prefixOf,
  principalOf,
  type StoredKey,
  USE_RESOLUTION_MS,
} from './key-file.ts';
import { issueLegacyToken, verifyLegacyToken } from './legacy-token.ts';
import { DEFAULT_ORGANISATION, type Organisation, type Principal, type Role } from './principal.ts';

export interface NewKey {
  /** For people: 1 to 64 characters. */
  readonly name: string;
  readonly role: Role;
  /** Name of an organisation, which comes into being with its first key. Default `default`. */
  readonly org?: string | undefined;
  /** Default: it does not expire. */
  readonly expiresInMs?: number | undefined;
  readonly maxSandboxes?: number | undefined;
}

/** All that is known of a key, apart from its hash. */
export type KeyInfo = Omit<StoredKey, 'hash' | 'org'> & { readonly org: Organisation; readonly active: boolean };

export interface KeyStoreOptions {
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

const LOCK_TIMEOUT_MS = 10_000;
const MAX_EXPIRY_MS = 3650 * 24 * 60 * 60_000;
const EVERY_NAMESPACE = '*';
const SHORT_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;
const NAME = /^[^\p{Cc}]{1,64}$/u;

/**
 * The keys of a server, in one file that any number of processes may change: `<folder>/keys.json`.
 *
 * Every question is answered from the file as it is now; it is read again only when it has changed. A secret is told once, by
 * {@link create}, and cannot be found out afterwards.
 */
export class KeyStore {
  /** Where the keys are. No guest may ever see it. */
  readonly folder: string;
  readonly #path: string;
  readonly #now: () => number;
  #snapshot: Snapshot = { version: 'unread', file: NO_KEYS, byHash: new Map() };
  readonly #noting = new Set<string>();

  constructor(folder: string, { now = Date.now }: KeyStoreOptions = {}) {
    this.folder = folder;
    this.#path = join(folder, 'keys.json');
    this.#now = now;
  }

  /** Throws `invalid_argument`. */
  async create(wanted: NewKey): Promise<{ readonly secret: Secret; readonly key: KeyInfo }> {
    const { name, role, org = DEFAULT_ORGANISATION.name, expiresInMs, maxSandboxes } = wanted;
    if (!NAME.test(name)) throw invalid('The name of a key must be 1 to 64 printable characters');
    if (maxSandboxes !== undefined && !(Number.isSafeInteger(maxSandboxes) && maxSandboxes > 0))
      throw invalid('The number of sandboxes of a key must be a whole number above zero');
    if (expiresInMs !== undefined) checkExpiry(expiresInMs);
    const secret = newSecret();
    const added = await this.#update((file) => {
      const [organisation, grown] = withOrganisation(file, org);
      const key: StoredKey = {
        id: `key_${randomBytes(6).toString('hex')}`,
        name,
        role,
        org: organisation.id,
        prefix: prefixOf(secret.reveal()),
        hash: hashOf(secret.reveal()),
        createdAt: this.#timeIn(0),
        ...(expiresInMs === undefined ? {} : { expiresAt: this.#timeIn(expiresInMs) }),
        ...(maxSandboxes === undefined ? {} : { maxSandboxes }),
      };
      return [key, { ...grown, keys: [...grown.keys, key] }];
    });
    return { secret, key: this.#describe(added, (await this.#read()).file) };
  }

  /** In the order of creation, revoked and expired ones included. */
  async list(): Promise<readonly KeyInfo[]> {
    const { file } = await this.#read();
    return file.keys.map((key) => this.#describe(key, file));
  }

  /** Ends what the key lets do, at once and for good; again it changes nothing. Throws `not_found`. */
  async revoke(id: string): Promise<KeyInfo> {
    const revoked = await this.#update((file) => {
      const key = file.keys.find((each) => each.id === id);
      if (key === undefined)
        throw new WorkcellError(
          'not_found',
          `There is no key with the id ${JSON.stringify(id)}; see: workcell key list`,
        );
      return replaceKey(file, { ...key, revokedAt: key.revokedAt ?? this.#timeIn(0) });
    });
    return this.#describe(revoked, (await this.#read()).file);
  }

  /** Who has this secret; undefined when no key that is active has it. Notes that it was used. */
  async find(secret: string): Promise<Principal | undefined> {
    const { file, byHash } = await this.#read();
    const key = byHash.get(hashOf(secret));
    if (key === undefined || !isActive(key, this.#now())) return undefined;
    await this.#noteUse(key);
    return principalOf(key, file);
  }

  /** Whether a key that was good still is. */
  async isActive(keyId: string): Promise<boolean> {
    const { file } = await this.#read();
    return file.keys.some((key) => key.id === keyId && isActive(key, this.#now()));
  }

  /** A token of the JSON-RPC line for one namespace of the default organisation, or, with `*`, for an administrator. */
  async createToken(namespace: string, expiresInMs: number): Promise<Secret> {
    checkExpiry(expiresInMs);
    if (namespace !== EVERY_NAMESPACE) checkShortName('namespace', namespace);
    const secret = await this.#update((file) => {
      const tokenSecret = file.tokenSecret ?? randomBytes(32).toString('hex');
      return [tokenSecret, { ...file, tokenSecret }];
    });
    return issueLegacyToken({ namespace, expiresInMs, now: this.#now() }, new Secret(secret));
  }

  /** Whom a token speaks for; undefined when this server has not issued it, or its time is up. */
  async findToken(token: string): Promise<Principal | undefined> {
    const { tokenSecret } = (await this.#read()).file;
    if (tokenSecret === undefined) return undefined;
    const claims = verifyLegacyToken(token, new Secret(tokenSecret), this.#now());
    if (claims === undefined) return undefined;
    const { namespace } = claims;
    if (namespace === EVERY_NAMESPACE) return { role: 'administrator', org: DEFAULT_ORGANISATION };
    return { role: 'organisation', org: DEFAULT_ORGANISATION, namespace };
  }

  /** Makes every token that was ever issued worthless: they have no ids by which one of them could be. */
  async revokeTokens(): Promise<void> {
    await this.#update(({ tokenSecret: _, ...file }) => [undefined, file]);
  }

  /** A rename gives the file another inode, so that two changes within one tick of the clock differ, too. */
  async #read(): Promise<Snapshot> {
    // Before the file is read: what changes meanwhile is read again.
    const version = await fileVersion(this.#path).catch((cause) => {
      throw new WorkcellError('storage_failed', 'Cannot read the keys of this server', { cause });
    });
    if (version === this.#snapshot.version) return this.#snapshot;
    const file = parseKeyFile(await readTextIfExists(this.#path));
    const snapshot = { version, file, byHash: new Map(file.keys.map((key) => [key.hash, key])) };
    this.#snapshot = snapshot;
    return snapshot;
  }

  async #update<T>(change: (file: KeyFile) => readonly [T, KeyFile]): Promise<T> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    using deadline = new Deadline('Waiting for the keys', LOCK_TIMEOUT_MS);
    await using _lock = await FileLock.wait({ path: `${this.#path}.lock`, what: 'The list of keys' }, deadline);
    const before = parseKeyFile(await readTextIfExists(this.#path));
    const [result, after] = change(before);
    await writeFileAtomic(this.#path, `${JSON.stringify(after, null, 2)}\n`, 0o600);
    return result;
  }

  /** A state folder that cannot be written to keeps nobody out. */
  async #noteUse({ id, lastUsedAt }: StoredKey): Promise<void> {
    if (lastUsedAt !== undefined && this.#now() - Date.parse(lastUsedAt) < USE_RESOLUTION_MS) return;
    if (this.#noting.has(id)) return;
    this.#noting.add(id);
    await this.#update((file) => {
      const key = file.keys.find((each) => each.id === id);
      return key === undefined ? [key, file] : replaceKey(file, { ...key, lastUsedAt: this.#timeIn(0) });
    }).catch(() => {});
    this.#noting.delete(id);
  }

  #describe(key: StoredKey, file: KeyFile): KeyInfo {
    const { hash: _, ...shown } = key;
    return { ...shown, org: orgOf(key, file), active: isActive(key, this.#now()) };
  }

  #timeIn(ms: number): string {
    return new Date(this.#now() + ms).toISOString();
  }
}

interface Snapshot {
  readonly version: string;
  readonly file: KeyFile;
  readonly byHash: ReadonlyMap<string, StoredKey>;
}

function withOrganisation(file: KeyFile, name: string): readonly [Organisation, KeyFile] {
  const known = file.organisations.find((org) => org.name === name);
  if (known !== undefined) return [known, file];
  checkShortName('organisation', name);
  const added = { id: randomUUID(), name };
  return [added, { ...file, organisations: [...file.organisations, added] }];
}

function checkExpiry(ms: number): void {
  if (ms > 0 && ms <= MAX_EXPIRY_MS) return;
  throw invalid(
    'A key can expire after at most 3650d; leave the expiry out for a key that is good until it is revoked',
  );
}

function checkShortName(what: string, name: string): void {
  if (SHORT_NAME.test(name)) return;
  throw invalid(
    `The name of the ${what} must be 1 to 63 letters, digits, "_" or "-", the first a letter or digit; not ${JSON.stringify(name)}`,
  );
}

function replaceKey(file: KeyFile, key: StoredKey): readonly [StoredKey, KeyFile] {
  return [key, { ...file, keys: file.keys.map((each) => (each.id === key.id ? key : each)) }];
}

function invalid(message: string): WorkcellError {
  return new WorkcellError('invalid_argument', message);
}
