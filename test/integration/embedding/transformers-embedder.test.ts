import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openModelFolder } from '../../../src/embedding/model-folder.ts';
import { openTransformersEmbedder, type TransformersEmbedder } from '../../../src/embedding/transformers-embedder.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';
import { writeTinyModel } from '../../support/tiny-model.ts';

let folder: TempFolder;
let embedder: TransformersEmbedder;

beforeAll(async () => {
  folder = await tempFolder();
  await writeTinyModel(folder.path, [['picture', 'photo'], ['file', 'document'], ['remember']]);
  embedder = await openTransformersEmbedder(await openModelFolder(folder.path));
});

afterAll(async () => {
  await embedder?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

it('a text becomes the mean of its tokens, at unit length; words that mean the same get the same', async () => {
  expect(await embedder.embed('photo')).toEqual(await embedder.embed('Picture'));
  const both = await embedder.embed('a photo in a document');
  expect([...both].map((value) => value.toFixed(3)).slice(0, 3)).toEqual(['0.707', '0.707', '0.000']);
});

it('a text of which the model knows no word, and one without words, is like no other', async () => {
  for (const text of ['zzz', '', '\u0000 \n']) expect(new Set(await embedder.embed(text))).toEqual(new Set([0]));
});

it('a text that is longer than the model can read is cut', async () => {
  const vector = await embedder.embed(`${'photo '.repeat(2_000)}document`);
  expect([vector[0], vector[1]]).toEqual([1, 0]);
});

it('texts that are asked for together are answered each by its own vector', async () => {
  const words = ['photo', 'document', 'remember', 'photo', 'zzz'];
  const vectors = await Promise.all(words.map((word) => embedder.embed(word)));
  expect(vectors.map((vector) => vector.indexOf(1))).toEqual([0, 1, 2, 0, -1]);
});

it('another model has another fingerprint, and a copy of this one has the same', async () => {
  await using copy = await tempFolder();
  await writeTinyModel(copy.path, [['picture', 'photo'], ['file', 'document'], ['remember']]);
  expect((await openModelFolder(copy.path)).fingerprint).toBe(embedder.fingerprint);
  await writeTinyModel(copy.path, [['picture', 'photo', 'file'], ['document'], ['remember']]);
  expect((await openModelFolder(copy.path)).fingerprint).not.toBe(embedder.fingerprint);
});

it('a folder without a model is named, with what it takes', async () => {
  await using empty = await tempFolder();
  await expect(openModelFolder(empty.path)).rejects.toMatchObject({
    code: 'not_found',
    message: expect.stringMatching(
      /modelPath names a folder without an embedding model.*config\.json, tokenizer\.json and onnx\/model_quantized\.onnx/,
    ),
  });
  await writeTinyModel(empty.path, [['photo']]);
  await rm(join(empty.path, 'tokenizer.json'));
  await expect(openModelFolder(empty.path)).rejects.toMatchObject({ code: 'not_found' });
});

it.each([
  ['onnx/model_quantized.onnx', 'not a model'],
  ['tokenizer.json', '{'],
])('a damaged %s is an error of this model, and not of the process', async (file, content) => {
  await using damaged = await tempFolder();
  await writeTinyModel(damaged.path, [['photo']]);
  await writeFile(join(damaged.path, file), content);
  await expect(openTransformersEmbedder(await openModelFolder(damaged.path))).rejects.toMatchObject({
    code: 'invalid_argument',
    message: expect.stringContaining(`The embedding model in ${damaged.path} cannot be loaded`),
  });
});
