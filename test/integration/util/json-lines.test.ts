import { appendFile, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encodeJsonLine, MAX_LINE_BYTES, readJsonLines, readTail, type Tail } from '../../../src/util/json-lines.ts';
import { temporaryFolder } from './temporary-folder.ts';

async function fileWith(content: string | Uint8Array): Promise<string> {
  const path = join(await temporaryFolder(), 'lines.jsonl');
  await writeFile(path, content);
  return path;
}

const valuesIn = async (path: string, end?: number) =>
  (await Array.fromAsync(readJsonLines(path, 'the file', { end }))).map((line) => line.value);

async function tailOf(path: string): Promise<Tail> {
  await using file = await open(path);
  return await readTail(file, 'the file');
}

describe('encodeJsonLine()', () => {
  test.each([{ text: 'a\nb\r\n\u2028' }, { text: '\ud800' }, [], { deep: [{ a: null }] }])(
    'writes %j as one line that reads back the same',
    async (value) => {
      const line = encodeJsonLine(value);
      expect(line.indexOf('\n')).toBe(line.length - 1);
      expect(await valuesIn(await fileWith(line))).toEqual([value]);
    },
  );

  test.each([[{ big: 1n }], [Object.defineProperty({}, 'x', { enumerable: true, get: () => JSON.parse('{') })]])(
    'refuses what is not JSON',
    (value) => {
      expect(() => encodeJsonLine(value)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
    },
  );

  test('takes a line of the largest size, which reads back, and refuses one byte more', async () => {
    const overhead = encodeJsonLine(['']).length;
    const largest = ['x'.repeat(MAX_LINE_BYTES - overhead)];
    const path = await fileWith(encodeJsonLine(largest));
    expect(await valuesIn(path)).toEqual([largest]);
    expect(await tailOf(path)).toEqual({ end: MAX_LINE_BYTES, last: largest });
    expect(() => encodeJsonLine([`${largest[0]}x`])).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  });
});

describe('readJsonLines()', () => {
  test('numbers the lines from one, and says where each is', async () => {
    const path = await fileWith('1\n"two"\n{"three":3}\n');
    expect(await Array.fromAsync(readJsonLines(path, 'the file'))).toEqual([
      { number: 1, value: 1, start: 0, end: 2 },
      { number: 2, value: 'two', start: 2, end: 8 },
      { number: 3, value: { three: 3 }, start: 8, end: 20 },
    ]);
  });

  test('reads the lines of a part alone', async () => {
    const path = await fileWith('1\n"two"\n{"three":3}\n');
    expect(await Array.fromAsync(readJsonLines(path, 'the file', { start: 2, end: 8 }))).toEqual([
      { number: 1, value: 'two', start: 2, end: 8 },
    ]);
    expect(await Array.fromAsync(readJsonLines(path, 'the file', { start: 8, end: 8 }))).toEqual([]);
    expect(await Array.fromAsync(readJsonLines(path, 'the file', { start: 20 }))).toEqual([]);
  });

  test.each(['', '\u0000'.repeat(10), '{"torn":'])('finds nothing in a file with only %j', async (content) => {
    expect(await valuesIn(await fileWith(content))).toEqual([]);
  });

  test('leaves out what comes after the last newline, even when it is JSON', async () => {
    expect(await valuesIn(await fileWith('1\n2\n3'))).toEqual([1, 2]);
  });

  test('stops at the given byte', async () => {
    const path = await fileWith('1\n2\n3\n');
    expect(await valuesIn(path, 0)).toEqual([]);
    expect(await valuesIn(path, 3)).toEqual([1]);
    expect(await valuesIn(path, 4)).toEqual([1, 2]);
  });

  test('puts together lines and characters that lie across the chunks of a read', async () => {
    const values = Array.from({ length: 50 }, (_, index) => `${'é🦀'.repeat(2_000 + index)}`);
    expect(await valuesIn(await fileWith(values.map((value) => `${JSON.stringify(value)}\n`).join('')))).toEqual(
      values,
    );
  });

  test.each([
    ['text', '1\nnope\n3\n'],
    ['an empty line', '1\n\n3\n'],
    ['bytes that are not UTF-8', Buffer.from('1\n"\xff"\n3\n', 'latin1')],
    ['a line of zeros', '1\n\0\0\0\n3\n'],
  ])('names the line that holds %s', async (_, content) => {
    const path = await fileWith(content);
    await expect(valuesIn(path)).rejects.toMatchObject({
      code: 'storage_failed',
      message: 'Cannot read the file: line 2 is not JSON',
    });
  });

  test('refuses a line that is too long instead of holding it in memory', async () => {
    const path = await fileWith('1\n');
    for (let chunk = 0; chunk < 13; chunk++) await appendFile(path, 'x'.repeat(1024 * 1024));
    const tooLong = { code: 'storage_failed', message: expect.stringContaining('line 2 is longer than') };
    await expect(valuesIn(path)).rejects.toMatchObject(tooLong);
    await appendFile(path, '\n');
    await expect(valuesIn(path)).rejects.toMatchObject(tooLong);
    await expect(tailOf(path)).rejects.toMatchObject({ code: 'storage_failed' });
  });
});

describe('readTail()', () => {
  test.each([
    ['', { end: 0, last: undefined }],
    ['{"torn":', { end: 0, last: undefined }],
    ['1\n', { end: 2, last: 1 }],
    ['1\n{"a":2}\n', { end: 10, last: { a: 2 } }],
    ['1\n{"a":2}\n{"torn":', { end: 10, last: { a: 2 } }],
  ])('of %j is %j', async (content, tail) => {
    expect(await tailOf(await fileWith(content))).toEqual(tail);
  });

  test.each([64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 200_000])('finds a last line of %d bytes', async (length) => {
    const value = 'x'.repeat(length - 3);
    const path = await fileWith(`1\n"${value}"\n`);
    expect(await tailOf(path)).toEqual({ end: length + 2, last: value });
    await appendFile(path, 'y'.repeat(length));
    expect(await tailOf(path)).toEqual({ end: length + 2, last: value });
  });

  test('says that the last line is not JSON', async () => {
    await expect(tailOf(await fileWith('1\nnope\n'))).rejects.toMatchObject({
      message: 'Cannot read the file: the last line is not JSON',
    });
  });
});
