import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { sealStream, unsealStream } from '../../../src/util/sealed-stream.ts';
import { Secret } from '../../../src/util/secret.ts';

const passphrase = new Secret('correct horse');
const PIECE = 64 * 1024;
const HEAD = 34;

async function* chunks(bytes: Buffer, size = 10_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const seal = async (plain: Buffer) => Buffer.concat(await Array.fromAsync(sealStream(chunks(plain), passphrase)));
const unseal = async (sealed: Buffer, secret: Secret | undefined = passphrase) =>
  Buffer.concat(await Array.fromAsync(unsealStream(chunks(sealed, 7_777), secret)));

describe('a sealed stream', () => {
  test.each([0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 5])(
    'of %i bytes is given back whole',
    async (length) => {
      const plain = randomBytes(length);
      const sealed = await seal(plain);
      expect(sealed).toHaveLength(HEAD + length + 16 * Math.max(1, Math.ceil(length / PIECE)));
      expect(await unseal(sealed)).toEqual(plain);
    },
  );

  test('is another one each time, and shows nothing of what is in it', async () => {
    const plain = Buffer.alloc(1_000, 'a');
    const [first, second] = [await seal(plain), await seal(plain)];
    expect(first.subarray(HEAD)).not.toEqual(second.subarray(HEAD));
    expect(first.toString('latin1')).not.toContain('aaaa');
  });

  test('is refused with another passphrase, with none, and when it is changed, cut, or its pieces have changed places', async () => {
    const sealed = await seal(randomBytes(3 * PIECE));
    const step = PIECE + 16;
    const [head, a, b, c] = [0, 1, 2, 3].map((n) =>
      n === 0 ? sealed.subarray(0, HEAD) : sealed.subarray(HEAD + (n - 1) * step, HEAD + n * step),
    ) as [Buffer, Buffer, Buffer, Buffer];
    const refused = { code: 'invalid_argument' };
    await expect(unseal(sealed, new Secret('incorrect horse'))).rejects.toMatchObject(refused);
    await expect(Array.fromAsync(unsealStream(chunks(sealed), undefined))).rejects.toMatchObject(refused);
    for (const pieces of [[a, b], [a], [], [b, a, c], [a, c], [a, b, c, c], [a, b, c.subarray(0, -1)]])
      await expect(unseal(Buffer.concat([head, ...pieces]))).rejects.toMatchObject(refused);
    for (const at of [HEAD - 1, HEAD, HEAD + step, sealed.length - 1]) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 0x80;
      await expect(unseal(changed), `byte ${at}`).rejects.toMatchObject(refused);
    }
  });

  test('needs a passphrase of 8 characters', async () => {
    const sealWith = (text: string) => Array.fromAsync(sealStream(chunks(Buffer.alloc(1)), new Secret(text)));
    await expect(sealWith('1234567')).rejects.toMatchObject({ code: 'invalid_argument' });
    await expect(sealWith('12345678')).resolves.toHaveLength(2);
  });

  test('that was never sealed is passed on as it is, and refused to whoever has a passphrase for it', async () => {
    for (const plain of [Buffer.alloc(0), Buffer.from('workcell-sealed'), randomBytes(100_000)]) {
      expect(Buffer.concat(await Array.fromAsync(unsealStream(chunks(plain), undefined)))).toEqual(plain);
      await expect(unseal(plain)).rejects.toMatchObject({
        code: 'invalid_argument',
        message: expect.stringContaining('it is not encrypted'),
      });
    }
  });
});
