/**
 * A stream that only who knows a passphrase can read or make.
 *
 * `MAGIC`, a salt of 16 bytes, then pieces of 64 KiB, each encrypted with AES-256-GCM and followed by its tag. The key is
 * derived from passphrase and salt with scrypt, so it serves one stream alone, and a nonce is the number of the piece and
 * whether it is the last (the STREAM construction, https://eprint.iacr.org/2015/189): no piece can be changed, moved, left out
 * or cut off unnoticed. Each piece is given on when it is found to be right; that the stream is whole is known at its end.
 */
import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { WorkcellError } from '../core/errors.ts';
import { ByteSource } from './byte-source.ts';
import type { Secret } from './secret.ts';

const MAGIC = Buffer.from('workcell-sealed-1\n');
const SALT_BYTES = 16;
const PIECE_BYTES = 64 * 1024;
const TAG_BYTES = 16;
const MIN_PASSPHRASE = 8;
const CIPHER = 'aes-256-gcm';
/** 64 MiB and a good tenth of a second for each guess. */
const SCRYPT = { N: 2 ** 16, r: 8, p: 1, maxmem: 128 * 1024 * 1024 };

/** Throws `invalid_argument` for a passphrase of fewer than 8 characters. */
export async function* sealStream(
  plain: AsyncIterable<Uint8Array>,
  passphrase: Secret,
): AsyncGenerator<Uint8Array, void> {
  const salt = randomBytes(SALT_BYTES);
  const key = await deriveKey(passphrase, salt);
  yield Buffer.concat([MAGIC, salt]);
  const source = new ByteSource(plain);
  try {
    let piece = await source.read(PIECE_BYTES);
    for (let number = 0; ; number++) {
      const next = await source.read(PIECE_BYTES);
      const cipher = createCipheriv(CIPHER, key, nonceOf(number, next.length === 0), { authTagLength: TAG_BYTES });
      yield Buffer.concat([cipher.update(piece), cipher.final(), cipher.getAuthTag()]);
      if (next.length === 0) return;
      piece = next;
    }
  } finally {
    await source.close();
  }
}

/**
 * What was sealed, or, when the stream was not and there is no passphrase, the stream as it is. Throws `invalid_argument` when there
 * is no passphrase for one that needs it, or one for a stream that was not sealed, when it is the wrong one, and for a stream that
 * was changed or cut off.
 */
export async function* unsealStream(
  stream: AsyncIterable<Uint8Array>,
  passphrase: Secret | undefined,
): AsyncGenerator<Uint8Array, void> {
  const source = new ByteSource(stream);
  try {
    const start = await source.read(MAGIC.length);
    if (!start.equals(MAGIC)) {
      // Whoever says that it was sealed relies on nobody else having made it.
      if (passphrase !== undefined)
        throw invalid('it is not encrypted; if you trust it all the same, give no passphrase');
      source.unread(start);
      return yield* source.remaining();
    }
    if (passphrase === undefined) throw invalid('it is encrypted; give its passphrase');
    const key = await deriveKey(passphrase, await source.read(SALT_BYTES));
    let piece = await source.read(PIECE_BYTES + TAG_BYTES);
    for (let number = 0; ; number++) {
      const next = await source.read(PIECE_BYTES + TAG_BYTES);
      yield open(piece, key, number, next.length === 0);
      if (next.length === 0) return;
      piece = next;
    }
  } finally {
    await source.close();
  }
}

function open(piece: Buffer, key: Buffer, number: number, isLast: boolean): Buffer {
  try {
    const decipher = createDecipheriv(CIPHER, key, nonceOf(number, isLast), { authTagLength: TAG_BYTES });
    decipher.setAuthTag(piece.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(piece.subarray(0, -TAG_BYTES)), decipher.final()]);
  } catch {
    throw invalid(number === 0 ? 'the passphrase is wrong, or it was changed' : 'it was changed, or is not whole');
  }
}

function nonceOf(number: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(number, 5, 6);
  nonce.writeUInt8(isLast ? 1 : 0, 11);
  return nonce;
}

async function deriveKey(passphrase: Secret, salt: Buffer): Promise<Buffer> {
  const text = passphrase.reveal().normalize('NFKC');
  if (text.length < MIN_PASSPHRASE) {
    throw new WorkcellError('invalid_argument', `A passphrase needs ${MIN_PASSPHRASE} characters or more`);
  }
  return await promisify<string, Buffer, number, typeof SCRYPT, Buffer>(scrypt)(text, salt, 32, SCRYPT);
}

function invalid(reason: string): WorkcellError {
  return new WorkcellError('invalid_argument', `The file cannot be read: ${reason}`);
}
