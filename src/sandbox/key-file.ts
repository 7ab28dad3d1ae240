import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import { parseCustomerId } from '../core/ids.ts';
import {
  DEFAULT_ORGANISATION,
  defaultScopes,
  type Organisation,
  type Principal,
  ROLES,
  SCOPES,
  type Scope,
} from '../core/principal.ts';
import { Secret } from '../util/secret.ts';

/** Version 1 knew neither customers nor scopes; it is read as it is. */
const VERSION = 2;

const time = z.iso.datetime();

const keySchema = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    role: z.enum(ROLES),
    /** Id of its organisation. */
    org: z.uuid(),
    /** The first characters of the secret, to tell keys apart by. */
    prefix: z.string(),
    /** SHA-256 of the whole secret, in hex. */
    hash: z.string().regex(/^[0-9a-f]{64}$/),
    createdAt: time,
    /** To within {@link USE_RESOLUTION_MS}. */
    lastUsedAt: time.exactOptional(),
    expiresAt: time.exactOptional(),
    revokedAt: time.exactOptional(),
    maxSandboxes: z.int().positive().exactOptional(),
    /** The full id of the customer whose it is, in a customer's key. */
    customer: z.string().transform(parseCustomerId).exactOptional(),
    /** What it is good for; absent: what its role is by itself. */
    scopes: z.array(z.enum(SCOPES)).exactOptional(),
    /** Id of the key that made it; absent: it was made on the server's machine. */
    createdBy: z.string().exactOptional(),
  })
  .refine(({ role, customer }) => (role === 'customer') === (customer !== undefined));

const keyFileSchema = z.strictObject({
  version: z.union([z.literal(1).transform(() => VERSION), z.literal(VERSION)]),
  organisations: z.array(z.strictObject({ id: z.uuid(), name: z.string() })),
  keys: z.array(keySchema),
  /** Signs the tokens of `legacy-token.ts`. */
  tokenSecret: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .exactOptional(),
});

/** What `keys.json` holds: of keys only hashes. */
export type KeyFile = z.infer<typeof keyFileSchema>;
export type StoredKey = KeyFile['keys'][number];

/** All that is known of a key, apart from its hash. */
export type KeyInfo = Omit<StoredKey, 'hash' | 'org' | 'scopes'> & {
  readonly org: Organisation;
  readonly scopes: readonly Scope[];
  readonly active: boolean;
};

export const NO_KEYS: KeyFile = { version: VERSION, organisations: [DEFAULT_ORGANISATION], keys: [] };

/** How often the use of a key is written down. */
export const USE_RESOLUTION_MS: number = 5 * 60_000;

const PREFIX_CHARS = 12;

/** Throws `storage_failed` unless it is what {@link KeyFile} says: a server that cannot read its keys lets nobody in. */
export function parseKeyFile(text: string | undefined): KeyFile {
  if (text === undefined) return NO_KEYS;
  try {
    return keyFileSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new WorkcellError(
      'storage_failed',
      'Cannot read the keys of this server: keys.json in its state folder is damaged; restore it, or delete it and make new keys',
      { cause },
    );
  }
}

/** A key in the form that Microsandbox clients expect. */
export function newSecret(): Secret {
  return new Secret(`msb_${randomBytes(32).toString('hex')}`);
}

/**
 * What a secret is kept and looked up as. A slow hash would add nothing: nobody can try out 2^256 secrets. Looking one up by
 * its hash needs no constant time, because who does not know the secret cannot choose how much of its hash agrees.
 */
export function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

export function prefixOf(secret: string): string {
  return secret.slice(0, PREFIX_CHARS);
}

/** True when the key lets somebody in at this time. */
export function isActive({ revokedAt, expiresAt }: StoredKey, now: number): boolean {
  return revokedAt === undefined && (expiresAt === undefined || Date.parse(expiresAt) > now);
}

export function principalOf(key: StoredKey, file: KeyFile): Principal {
  const { id: keyId, role, maxSandboxes, customer, expiresAt } = key;
  return {
    keyId,
    role,
    org: orgOf(key, file),
    scopes: new Set(scopesOf(key)),
    ...(customer === undefined ? {} : { customer }),
    ...(maxSandboxes === undefined ? {} : { maxSandboxes }),
    ...(expiresAt === undefined ? {} : { expiresAt: Date.parse(expiresAt) }),
  };
}

/** What the key is good for, in the order of `SCOPES`. */
export function scopesOf({ role, scopes }: StoredKey): readonly Scope[] {
  return scopes ?? defaultScopes(role);
}

export function orgOf(key: StoredKey, { organisations }: KeyFile): Organisation {
  const org = organisations.find(({ id }) => id === key.org);
  if (org !== undefined) return org;
  throw new WorkcellError('storage_failed', `The organisation of key ${key.id} is missing in keys.json`);
}
