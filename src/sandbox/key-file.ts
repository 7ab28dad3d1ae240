import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import { Secret } from '../util/secret.ts';
import { DEFAULT_ORGANISATION, type Organisation, type Principal, ROLES } from './principal.ts';

const time = z.iso.datetime();

const keySchema = z.strictObject({
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
});

const keyFileSchema = z.strictObject({
  version: z.literal(1),
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

export const NO_KEYS: KeyFile = { version: 1, organisations: [DEFAULT_ORGANISATION], keys: [] };

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
  const { id: keyId, role, maxSandboxes } = key;
  return { keyId, role, org: orgOf(key, file), ...(maxSandboxes === undefined ? {} : { maxSandboxes }) };
}

export function orgOf(key: StoredKey, { organisations }: KeyFile): Organisation {
  const org = organisations.find(({ id }) => id === key.org);
  if (org !== undefined) return org;
  throw new WorkcellError('storage_failed', `The organisation of key ${key.id} is missing in keys.json`);
}
