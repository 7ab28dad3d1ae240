import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { WorkcellError } from '../core/errors.ts';
import { encodeJsonLine } from '../util/json-lines.ts';
import { keyBytes } from '../util/key-bytes.ts';
import type { Secret } from '../util/secret.ts';

export interface SessionKeys {
  /** What is written is encrypted with it; undefined leaves it as it is. 32 bytes as hex or base64. */
  readonly current: Secret | undefined;
  /** Only to read what was written with them. */
  readonly old: readonly Secret[];
}

/** As nonce, ciphertext and tag. */
export interface Sealed {
  readonly key: string;
  readonly sealed: string;
}

export interface SealingOptions {
  /** What the keys are derived for: what is sealed for one purpose is nothing for another. */
  readonly purpose: string;
  /** For people: begins the message for a key that is missing. */
  readonly what: string;
}

interface DerivedKey {
  /** Tells keys apart, and nothing else of them. */
  readonly id: string;
  readonly bytes: Buffer;
}

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID = /^[0-9a-f]{8}$/;

/**
 * Encrypts JSON with AES-256-GCM, under keys that HKDF derives from the configured ones for one purpose. `place` is authenticated
 * with it, so that it can neither be changed nor be put in another place.
 */
export class Sealing {
  readonly #what: string;
  readonly #writing: DerivedKey | undefined;
  readonly #keys: readonly DerivedKey[];

  /** Throws `invalid_config` for a key that is none. */
  constructor({ purpose, what }: SealingOptions, { current, old }: SessionKeys) {
    this.#what = what;
    this.#writing = current === undefined ? undefined : derivedKey(current, purpose);
    this.#keys = [
      ...(this.#writing === undefined ? [] : [this.#writing]),
      ...old.map((key) => derivedKey(key, purpose)),
    ];
  }

  /** Whether there is a key to seal with. */
  get seals(): boolean {
    return this.#writing !== undefined;
  }

  /** Undefined when nothing is to be encrypted. Throws as `encodeJsonLine`. */
  seal(value: object, place: readonly unknown[]): Sealed | undefined {
    if (this.#writing === undefined) return undefined;
    const { id, bytes } = this.#writing;
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, bytes, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(authenticated(place, id));
    const text = [cipher.update(encodeJsonLine(value).subarray(0, -1)), cipher.final()];
    return { key: id, sealed: Buffer.concat([nonce, ...text, cipher.getAuthTag()]).toString('base64') };
  }

  /** Throws `invalid_config` when its key is missing, `storage_failed`, beginning with `subject`, for what was not sealed so. */
  unseal({ key, sealed }: Sealed, place: readonly unknown[], subject: string): unknown {
    const known = this.#keys.find(({ id }) => id === key);
    if (known === undefined) throw this.#keyMissing(key);
    const bytes = Buffer.from(sealed, 'base64');
    const [nonce, tag] = [bytes.subarray(0, NONCE_BYTES), bytes.subarray(-TAG_BYTES)];
    try {
      const decipher = createDecipheriv(CIPHER, known.bytes, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(authenticated(place, key)).setAuthTag(tag);
      const text = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
      return JSON.parse(text.toString('utf8'));
    } catch (cause) {
      throw new WorkcellError('storage_failed', `${subject} was changed, or is from another place or session`, {
        cause,
      });
    }
  }

  #keyMissing(key: string): WorkcellError {
    const fix =
      this.#keys.length === 0
        ? 'no key is configured; set sessions.encryptionKey'
        : `the keys that are configured are ${this.#keys.map(({ id }) => id).join(', ')}; add that one to sessions.oldKeys`;
    const message = `${this.#what} is encrypted with the key ${key}, and ${fix}`;
    return new WorkcellError('invalid_config', message, { details: { key } });
  }
}

export function isSealed(value: unknown): value is Sealed {
  const { key, sealed } = (value ?? {}) as Partial<Sealed>;
  return typeof key === 'string' && KEY_ID.test(key) && typeof sealed === 'string';
}

function derivedKey(secret: Secret, purpose: string): DerivedKey {
  const bytes = keyBytes(secret.reveal());
  if (bytes === undefined) {
    const message = 'A key of sessions.encryptionKey or sessions.oldKeys is not 32 bytes as hex or base64';
    throw new WorkcellError('invalid_config', `${message}; make one with \`openssl rand -base64 32\``);
  }
  const derive = (info: string, length: number) => Buffer.from(hkdfSync('sha256', bytes, '', info, length));
  return { id: derive('workcell key id', 4).toString('hex'), bytes: derive(purpose, 32) };
}

function authenticated(place: readonly unknown[], key: string): Buffer {
  return Buffer.from(JSON.stringify([...place, key]));
}
