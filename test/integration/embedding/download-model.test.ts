import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { downloadModel } from '../../../src/embedding/download-model.ts';
import { MINILM, type Model } from '../../../src/embedding/model.ts';
import { cachedModelFolder, findCachedModel } from '../../../src/embedding/model-folder.ts';
import { Deadline } from '../../../src/util/deadline.ts';
import { serveModel } from '../../support/model-server.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';
import { writeTinyModel } from '../../support/tiny-model.ts';

let source: TempFolder;

beforeAll(async () => {
  source = await tempFolder();
  await writeTinyModel(source.path, [['picture', 'photo']]);
});
afterAll(() => source?.[Symbol.asyncDispose]());

async function download(model: Model, cache: string, timeoutMs = 30_000): Promise<readonly number[]> {
  const seen: number[] = [];
  using deadline = new Deadline('Downloading', timeoutMs);
  const folder = cachedModelFolder(cache, model);
  await downloadModel(model, { folder, deadline, onBytes: (got, total) => seen.push(got / total) });
  return seen;
}

it('every file is fetched, and then the model is found', async () => {
  await using hub = await serveModel(source.path);
  await using cache = await tempFolder();
  expect(await findCachedModel(cache.path, hub.model)).toBeUndefined();
  const seen = await download(hub.model, cache.path);
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  expect(seen.at(-1)).toBe(1);
  expect(await findCachedModel(cache.path, hub.model)).toMatchObject({ weights: 'q8' });
  expect(hub.requests).toEqual([
    '/config.json',
    '/tokenizer_config.json',
    '/tokenizer.json',
    '/onnx/model_quantized.onnx',
  ]);
});

it('a file that is not the publisher’s is refused, and nothing of it is kept', async () => {
  await using hub = await serveModel(source.path, (_request, response) => response.end('{"another":"file"}'));
  await using cache = await tempFolder();
  await expect(download(hub.model, cache.path)).rejects.toMatchObject({
    code: 'protocol_error',
    message: expect.stringContaining('its hash differs'),
  });
  expect(await readdir(cache.path)).toEqual([]);
});

it('an answer without end is cut off', async () => {
  await using hub = await serveModel(source.path, (_request, response) => {
    const write = () => response.write(Buffer.alloc(64 * 1024), () => response.destroyed || setImmediate(write));
    write();
  });
  await using cache = await tempFolder();
  await expect(download(hub.model, cache.path)).rejects.toMatchObject({
    code: 'upstream_unavailable',
    message: expect.stringContaining(`more than ${2 * hub.model.bytes} bytes`),
  });
});

it.each([
  ['says that there is no such file', 'status 404', 404],
  ['breaks off', 'closed', undefined],
])('a hub that %s is an error that says so, with what to do instead', async (_what, reason, status) => {
  await using hub = await serveModel(source.path, (_request, response) => {
    if (status === undefined) response.socket?.destroy();
    else response.writeHead(status).end();
  });
  await using cache = await tempFolder();
  const error = await download(hub.model, cache.path).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: 'upstream_unavailable' });
  expect(String(error)).toContain(reason);
  expect(String(error)).toContain('selector.embeddings.modelPath');
});

it('a hub that does not answer is given up at the deadline', async () => {
  await using hub = await serveModel(source.path, () => {});
  await using cache = await tempFolder();
  await expect(download(hub.model, cache.path, 200)).rejects.toMatchObject({
    code: 'upstream_unavailable',
    message: expect.stringContaining('took longer than 0.2 s'),
  });
});

it('a hub that cannot be reached is named, with the reason', async () => {
  await using cache = await tempFolder();
  const nowhere = { ...MINILM, url: 'https://models.invalid/all-MiniLM-L6-v2' };
  await expect(download(nowhere, cache.path)).rejects.toMatchObject({
    code: 'upstream_unavailable',
    message: expect.stringMatching(
      /^Cannot download https:\/\/models\.invalid\/.*config\.json: .*(ENOTFOUND|EAI_AGAIN)/,
    ),
  });
});

it('the model that is downloaded is a fixed revision with fixed hashes', () => {
  expect(MINILM.url).toMatch(/^https:\/\/huggingface\.co\/Xenova\/all-MiniLM-L6-v2\/resolve\/[0-9a-f]{40}$/);
  expect(MINILM.files.map(({ path }) => join('/', path))).toContain('/onnx/model_quantized.onnx');
  for (const { sha256 } of MINILM.files) expect(sha256).toMatch(/^[0-9a-f]{64}$/);
});
