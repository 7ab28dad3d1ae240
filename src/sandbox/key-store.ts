import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import { ALL_SCOPES, DEFAULT_ORGANISATION, type Organisation, type Principal } from '../core/principal.ts';
import { readTextIfExists, writeFileAtomic } from '../util/atomic-file.ts';
import { Deadline } from '../util/deadline.ts';
import { FileLock } from '../util/file-lock.ts';
import { fileVersion } from '../util/file-version.ts';
import { Secret } from '../util/secret.ts';
import {
  hashOf,
  isActive,
  type KeyFile,
  type KeyInfo,
  NO_KEYS,
  newSecret,
  orgOf,
  parseKeyFile,
  prefixOf,
  principalOf,
  type StoredKey,
  scopesOf,
  USE_RESOLUTION_MS,
} from './key-file.ts';
import { assertMayRevoke, maySeeKey, restrictNewKey } from './key-rules.ts';
import { issueLegacyToken, verifyLegacyToken } from './legacy-token.ts';
import { type CheckedKey, checkExpiry, checkNewKey, checkShortName, type NewKey } from './new-key.ts';

export interface CreatedKey {
  /** Told this once. */
  readonly secret: Secret;
  readonly key: KeyInfo;
}

export interface KeyStoreOptions {
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** How often the uses of keys are written down at most. Default 10 seconds. */
  readonly noteEveryMs?: number;
}

const LOCK_TIMEOUT_MS = 10_000;
const NOTE_EVERY_MS = 10_000;
const EVERY_NAMESPACE = '*';

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
  readonly #noteEveryMs: number;
  /** When keys were used that the file does not tell yet. */
  readonly #uses = new Map<string, string>();
  #isNoting = false;

  constructor(folder: string, { now = Date.now, noteEveryMs = NOTE_EVERY_MS }: KeyStoreOptions = {}) {
    this.folder = folder;
    this.#path = join(folder, 'keys.json');
    this.#now = now;
    this.#noteEveryMs = noteEveryMs;
  }

  /** Throws `invalid_argument`. */
  async create(wanted: NewKey): Promise<CreatedKey> {
    return await this.#create(checkNewKey(wanted), this.#now());
  }

  /** As {@link create}, within what the maker's own key lets do (`restrictNewKey`). Throws `forbidden`, too. */
  async createFor(maker: Principal, wanted: NewKey): Promise<CreatedKey> {
    const now = this.#now();
    return await this.#create(restrictNewKey(maker, checkNewKey(wanted), now), now, maker.keyId);
  }

  /** In the order of creation, revoked and expired ones included. */
  async list(): Promise<readonly KeyInfo[]> {
    const { file } = await this.#read();
    return file.keys.map((key) => this.#describe(key, file));
  }

  /** Those that a principal may see, as {@link list}. */
  async listFor(principal: Principal): Promise<readonly KeyInfo[]> {
    return (await this.list()).filter((key) => maySeeKey(principal, key));
  }

  /** One that a principal may see; with `customer`, one of that customer. Throws `not_found`. */
  async getFor(principal: Principal, id: string, customer?: CustomerId): Promise<KeyInfo> {
    const key = (await this.listFor(principal)).find((each) => each.id === id);
    if (key !== undefined && (customer === undefined || key.customer === customer)) return key;
    throw noSuchKey(id);
  }

  /** As {@link revoke}, of those that {@link getFor} gives and `assertMayRevoke` lets. Throws `forbidden`, too. */
  async revokeFor(principal: Principal, id: string, customer?: CustomerId): Promise<KeyInfo> {
    const key = await this.getFor(principal, id, customer);
    assertMayRevoke(principal, key);
    return await this.revoke(id);
  }

  /** Ends what the key lets do, at once and for good; again it changes nothing. Throws `not_found`. */
  async revoke(id: string): Promise<KeyInfo> {
    const revoked = await this.#update((file) => {
      const key = file.keys.find((each) => each.id === id);
      if (key === undefined) throw noSuchKey(id);
      return replaceKey(file, { ...key, revokedAt: key.revokedAt ?? this.#timeNow() });
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
    const of = { org: DEFAULT_ORGANISATION, scopes: ALL_SCOPES };
    return namespace === EVERY_NAMESPACE
      ? { ...of, role: 'administrator' }
      : { ...of, role: 'organisation', namespace };
  }

  /** Makes every token that was ever issued worthless: they have no ids by which one of them could be. */
  async revokeTokens(): Promise<void> {
    await this.#update(({ tokenSecret: _, ...file }) => [undefined, file]);
  }

  /** `now`: since when the key's time runs, however long the file has to be waited for. */
  async #create(checked: CheckedKey, now: number, createdBy?: string): Promise<CreatedKey> {
    const { name, role, org, customer, scopes, expiresInMs, maxSandboxes } = checked;
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
        createdAt: this.#timeNow(),
        ...(expiresInMs === undefined ? {} : { expiresAt: new Date(now + expiresInMs).toISOString() }),
        ...(maxSandboxes === undefined ? {} : { maxSandboxes }),
        ...(customer === undefined ? {} : { customer }),
        ...(scopes === undefined ? {} : { scopes: [...scopes] }),
        ...(createdBy === undefined ? {} : { createdBy }),
      };
      return [key, { ...grown, keys: [...grown.keys, key] }];
    });
    return { secret, key: this.#describe(added, (await this.#read()).file) };
  }

  /** A rename gives the file another inode, so that two changes within one tick of the clock differ, too. */
  async #read(): Promise<Snapshot> {
    // Before the file is read: what changes meanwhile is read again.
    const version = await fileVersion(this.#path).catch((cause) => {
      throw new WorkcellError('storage_failed', 'Cannot read the keys of this server', { cause });
    });
    if (version === this.#snapshot.version) return this.#snapshot;
    return this.#keep(version, parseKeyFile(await readTextIfExists(this.#path)));
  }

  #keep(version: string, file: KeyFile): Snapshot {
    this.#snapshot = { version, file, byHash: new Map(file.keys.map((key) => [key.hash, key])) };
    return this.#snapshot;
  }

  async #update<T>(change: (file: KeyFile) => readonly [T, KeyFile]): Promise<T> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    using deadline = new Deadline('Waiting for the keys', LOCK_TIMEOUT_MS);
    await using _lock = await FileLock.wait({ path: `${this.#path}.lock`, what: 'The list of keys' }, deadline);
    const [result, after] = change((await this.#read()).file);
    await writeFileAtomic(this.#path, `${JSON.stringify(after, null, 2)}\n`, 0o600);
    // Nobody else changes it before the lock is let go of.
    this.#keep(await fileVersion(this.#path), after);
    return result;
  }

  /** At once when nothing was noted lately, else with the next notes: there may be thousands of keys in one file. */
  async #noteUse({ id, lastUsedAt }: StoredKey): Promise<void> {
    if (lastUsedAt !== undefined && this.#now() - Date.parse(lastUsedAt) < USE_RESOLUTION_MS) return;
    if (this.#uses.has(id)) return;
    this.#uses.set(id, this.#timeNow());
    if (!this.#isNoting) await this.#writeUses();
  }

  /** A state folder that cannot be written to keeps nobody out. */
  async #writeUses(): Promise<void> {
    this.#isNoting = true;
    const uses = new Map(this.#uses);
    const noted = (key: StoredKey): StoredKey => {
      const lastUsedAt = uses.get(key.id);
      return lastUsedAt === undefined ? key : { ...key, lastUsedAt };
    };
    await this.#update((file) => [undefined, { ...file, keys: file.keys.map(noted) }]).catch(() => {});
    for (const id of uses.keys()) this.#uses.delete(id);
    setTimeout(() => {
      this.#isNoting = false;
      if (this.#uses.size > 0) void this.#writeUses();
    }, this.#noteEveryMs).unref();
  }

  #describe(key: StoredKey, file: KeyFile): KeyInfo {
    const { hash: _, ...shown } = key;
    return { ...shown, org: orgOf(key, file), scopes: scopesOf(key), active: isActive(key, this.#now()) };
  }

  #timeNow(): string {
    return new Date(this.#now()).toISOString();
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
  const twin = file.organisations.find((org) => org.name.toLowerCase() === name.toLowerCase());
  if (twin !== undefined) {
    const message = `The organisation ${JSON.stringify(name)} differs from the existing "${twin.name}" only in case; use that one`;
    throw new WorkcellError('invalid_argument', message);
  }
  const added = { id: randomUUID(), name };
  return [added, { ...file, organisations: [...file.organisations, added] }];
}

function replaceKey(file: KeyFile, key: StoredKey): readonly [StoredKey, KeyFile] {
  return [key, { ...file, keys: file.keys.map((each) => (each.id === key.id ? key : each)) }];
}

function noSuchKey(id: string): WorkcellError {
  return new WorkcellError('not_found', `There is no key with the id ${JSON.stringify(id)}; see: workcell key list`);
}
