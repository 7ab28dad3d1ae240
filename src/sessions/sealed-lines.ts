/**
 * Lines that only the holder of a key can read, and that are good in one place only.
 *
 * What it defends: what programs did, against whoever gets at the disk or a backup of it, and the order of events, against
 * whoever may write there. A line is encrypted with AES-256-GCM under a key of its session alone, derived by HKDF from the
 * configured one; customer, session and sequence number are authenticated with it, so it can neither be changed nor moved, in
 * its log or to another. Once a log has such a line, no other kind follows. What nobody can tell from a log alone is
 * that whole lines were cut off its end, or that all of it was replaced by an older copy.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { WorkcellError } from '../core/errors.ts';
import type { CustomerId, SessionId } from '../core/ids.ts';
import { encodeJsonLine } from '../util/json-lines.ts';
import { keyBytes } from '../util/key-bytes.ts';
import type { Secret } from '../util/secret.ts';
import { type DecodedEvent, decodeEvent, type StoredEvent } from './events.ts';
import type { LineCodec } from './line-codec.ts';

/** Whose lines they are. */
export interface LineOwner {
  readonly customer: CustomerId;
  readonly session: SessionId;
}

export interface SessionKeys {
  /** What is written is encrypted with it; undefined leaves it as it is. 32 bytes as hex or base64. */
  readonly current: Secret | undefined;
  /** Only to read what was written with them. */
  readonly old: readonly Secret[];
}

/** What stands in the log: all else is in `sealed`, as nonce, ciphertext and tag. */
interface Envelope {
  readonly v: 1;
  readonly seq: number;
  readonly key: string;
  readonly sealed: string;
}

interface LineKey {
  /** Tells keys apart, and nothing else of them. */
  readonly id: string;
  readonly bytes: Buffer;
}

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID = /^[0-9a-f]{8}$/;

/** Lines of one session. Throws `invalid_config` for a key that is none. */
export function sessionLines(owner: LineOwner, { current, old }: SessionKeys): LineCodec {
  const writing = current === undefined ? undefined : lineKey(current, owner);
  const keys = [...(writing === undefined ? [] : [writing]), ...old.map((key) => lineKey(key, owner))];
  return {
    encode: (event) => encodeJsonLine(writing === undefined ? event : seal(event, writing, owner)),
    reader: (isSealed = false) => {
      let mustBeSealed = isSealed;
      return {
        decode: (value, subject) => {
          if (isEnvelope(value)) {
            mustBeSealed = true;
            return unseal(value, { keys, owner, subject });
          }
          if (!mustBeSealed) return decodeEvent(value, subject);
          throw new WorkcellError(
            'storage_failed',
            `${subject} is not encrypted as those before it: somebody wrote it`,
          );
        },
      };
    },
    seals: writing !== undefined,
    isSealed: isEnvelope,
  };
}

function lineKey(secret: Secret, { customer, session }: LineOwner): LineKey {
  const bytes = keyBytes(secret.reveal());
  if (bytes === undefined) {
    const message = 'A key of sessions.encryptionKey or sessions.oldKeys is not 32 bytes as hex or base64';
    throw new WorkcellError('invalid_config', `${message}; make one with \`openssl rand -base64 32\``);
  }
  const derive = (info: string, length: number) => Buffer.from(hkdfSync('sha256', bytes, '', info, length));
  return {
    id: derive('workcell key id', 4).toString('hex'),
    bytes: derive(`workcell log\0${customer}\0${session}`, 32),
  };
}

function seal(event: StoredEvent, { id, bytes }: LineKey, owner: LineOwner): Envelope {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, bytes, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(placeOf(owner, event.seq, id));
  const text = [cipher.update(encodeJsonLine(event).subarray(0, -1)), cipher.final()];
  const sealed = Buffer.concat([nonce, ...text, cipher.getAuthTag()]).toString('base64');
  return { v: 1, seq: event.seq, key: id, sealed };
}

interface Unsealing {
  readonly keys: readonly LineKey[];
  readonly owner: LineOwner;
  readonly subject: string;
}

function unseal({ seq, key, sealed }: Envelope, { keys, owner, subject }: Unsealing): DecodedEvent {
  const known = keys.find(({ id }) => id === key);
  if (known === undefined) throw keyMissing(key, keys, owner);
  const bytes = Buffer.from(sealed, 'base64');
  const [nonce, tag] = [bytes.subarray(0, NONCE_BYTES), bytes.subarray(-TAG_BYTES)];
  let event: unknown;
  try {
    const decipher = createDecipheriv(CIPHER, known.bytes, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(placeOf(owner, seq, key)).setAuthTag(tag);
    const text = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
    event = JSON.parse(text.toString('utf8'));
  } catch (cause) {
    throw new WorkcellError('storage_failed', `${subject} was changed, or is from another place or session`, { cause });
  }
  return decodeEvent(event, subject);
}

function keyMissing(key: string, keys: readonly LineKey[], { session }: LineOwner): WorkcellError {
  const subject = `Session "${session}" is encrypted with the key ${key}`;
  const fix =
    keys.length === 0
      ? 'no key is configured; set sessions.encryptionKey'
      : `the keys that are configured are ${keys.map(({ id }) => id).join(', ')}; add that one to sessions.oldKeys`;
  return new WorkcellError('invalid_config', `${subject}, and ${fix}`, { details: { key } });
}

function placeOf({ customer, session }: LineOwner, seq: number, key: string): Buffer {
  return Buffer.from(JSON.stringify(['workcell log line', 1, customer, session, seq, key]));
}

function isEnvelope(value: unknown): value is Envelope {
  const { v, seq, key, sealed } = (value ?? {}) as Partial<Envelope>;
  const isKeyed = typeof key === 'string' && KEY_ID.test(key);
  return v === 1 && Number.isInteger(seq) && isKeyed && typeof sealed === 'string';
}
