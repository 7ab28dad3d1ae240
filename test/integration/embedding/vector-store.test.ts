import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readVectors, textHash, writeVectors } from '../../../src/embedding/vector-file.ts';
import { VectorStore } from '../../../src/embedding/vector-store.ts';
import { tempFolder } from '../../support/temp-folder.ts';

/** Counts what it is asked for; a vector is made of the text's length. */
function countingEmbedder() {
  const asked: string[] = [];
  const embed = async (text: string) => {
    asked.push(text);
    return Float32Array.of(text.length, 1 / 3, -text.length);
  };
  return { fingerprint: 'counting', asked, embed };
}

const running = { signal: new AbortController().signal, onEmbedded: () => {} };

it('a text is embedded once, also by another process that has the same file', async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, 'vectors');
  const first = countingEmbedder();
  const vectors = await new VectorStore(first, path).embedAll(['a', 'bb', 'a'], running);
  expect(vectors).toEqual([
    Float32Array.of(1, 1 / 3, -1),
    Float32Array.of(2, 1 / 3, -2),
    Float32Array.of(1, 1 / 3, -1),
  ]);
  expect(first.asked).toEqual(['a', 'bb']);

  const second = countingEmbedder();
  expect(await new VectorStore(second, path).embedAll(['bb', 'ccc'], running)).toEqual([
    vectors[1],
    Float32Array.of(3, 1 / 3, -3),
  ]);
  expect(second.asked).toEqual(['ccc']);
});

it('nothing is written when nothing is new', async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, 'vectors');
  const store = new VectorStore(countingEmbedder(), path);
  await store.embedAll(['a'], running);
  const { ino } = await stat(path);
  await store.embedAll(['a'], running);
  expect((await stat(path)).ino).toBe(ino);
});

it('progress counts what has to be embedded', async () => {
  await using folder = await tempFolder();
  const store = new VectorStore(countingEmbedder(), join(folder.path, 'vectors'));
  await store.embedAll(['a'], running);
  const seen: [number, number][] = [];
  await store.embedAll(['a', 'b', 'c'], { ...running, onEmbedded: (done, all) => seen.push([done, all]) });
  expect(seen).toEqual([
    [1, 2],
    [2, 2],
  ]);
});

it('what is done when the work is cut short is kept', async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, 'vectors');
  const controller = new AbortController();
  const onEmbedded = (done: number) => done === 2 && controller.abort(new Error('enough'));
  const cut = new VectorStore(countingEmbedder(), path).embedAll(['a', 'b', 'c'], {
    signal: controller.signal,
    onEmbedded,
  });
  await expect(cut).rejects.toThrow('enough');
  const next = countingEmbedder();
  await new VectorStore(next, path).embedAll(['a', 'b', 'c'], running);
  expect(next.asked).toEqual(['c']);
});

it('a file that is cut short, or has one other byte anywhere, counts as empty', async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, 'vectors');
  await writeVectors(path, new Map([[textHash('a'), Float32Array.of(1, 2)]]), 10);
  const whole = await readFile(path);
  expect((await readVectors(path)).size).toBe(1);
  for (let at = 0; at < whole.length; at += 1) {
    const damaged = Buffer.from(whole);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    await writeFile(path, damaged);
    expect((await readVectors(path)).size, `byte ${at}`).toBe(0);
  }
  await writeFile(path, whole);
  await truncate(path, whole.length - 1);
  expect((await readVectors(path)).size).toBe(0);
  await writeFile(path, '');
  expect((await readVectors(path)).size).toBe(0);
});

it('a damaged file is made anew', async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, 'vectors');
  await writeFile(path, 'nonsense');
  const embedder = countingEmbedder();
  await new VectorStore(embedder, path).embedAll(['a'], running);
  expect(embedder.asked).toEqual(['a']);
  expect([...(await readVectors(path)).keys()]).toEqual([textHash('a')]);
});

it('a file holds no more than it may: those that were used last', async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, 'vectors');
  const vectors = new Map(['a', 'b', 'c'].map((text) => [textHash(text), Float32Array.of(1)]));
  await writeVectors(path, vectors, 2);
  expect([...(await readVectors(path)).keys()]).toEqual([textHash('b'), textHash('c')]);
  await writeVectors(path, vectors, 3);
  expect((await readVectors(path)).size).toBe(3);
});

it('a folder that cannot be written costs only the work of the next run', async () => {
  await using folder = await tempFolder();
  await writeFile(join(folder.path, 'file'), '');
  const store = new VectorStore(countingEmbedder(), join(folder.path, 'file', 'vectors'));
  expect(await store.embedAll(['a'], running)).toHaveLength(1);
});
