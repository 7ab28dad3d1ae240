import { cp, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import type { EmbeddingsConfig } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import type { ToolDescriptor } from '../../src/core/tool.ts';
import { cachedModelFolder } from '../../src/embedding/model-folder.ts';
import { SemanticSearch } from '../../src/workcell/semantic-search.ts';
import { type ModelServer, serveModel } from '../support/model-server.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const TOOLS = [
  tool('camera', 'take_picture', 'Take a picture'),
  tool('disk', 'read_file', 'Read a file'),
  tool('post', 'send', 'Send a letter'),
];

let source: TempFolder;

beforeAll(async () => {
  source = await tempFolder();
  await writeTinyModel(source.path, [
    ['picture', 'photo'],
    ['file', 'document'],
    ['letter', 'mail'],
  ]);
});
afterAll(() => source?.[Symbol.asyncDispose]());

const LOADING = /still loads|being downloaded|are embedded|is busy/;

interface Opened {
  readonly search: SemanticSearch;
  readonly cache: string;
  readonly progress: string[];
  readonly hub: ModelServer;
}

async function open(embeddings: Partial<EmbeddingsConfig>, answer?: RequestListener): Promise<Opened> {
  const folder = await tempFolder();
  const hub = await serveModel(source.path, answer);
  const { config } = await loadConfig({ env: { HOME: folder.path }, cwd: folder.path });
  const settings = {
    paths: config.paths,
    selector: { ...config.selector, embeddings: { ...config.selector.embeddings, ...embeddings } },
  };
  const progress: string[] = [];
  const search = new SemanticSearch({ settings, onProgress: (text) => progress.push(text), model: hub.model });
  search.setTools(TOOLS);
  onTestFinished(async () => {
    await search[Symbol.asyncDispose]();
    await hub[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });
  return { search, cache: config.paths.cache, progress, hub };
}

const names = (answer: Awaited<ReturnType<SemanticSearch['rank']>>) =>
  'ranked' in answer ? answer.ranked.map(({ tool: { tool: name } }) => name) : answer.unavailable;

/** What is found once the model is there, however long that takes on this machine; or why there is none. */
const rank = (search: SemanticSearch, query: string) =>
  eventually(async () => {
    const found = names(await search.rank(query, 5));
    return typeof found === 'string' && LOADING.test(found) ? false : found;
  });

it('a model in a folder of the user’s is used, and nothing is asked of the network', async () => {
  const { search, hub, progress } = await open({ mode: 'on', offline: true, modelPath: source.path });
  expect(await rank(search, 'a photo')).toEqual(['take_picture']);
  expect(await rank(search, 'a mail and a document')).toEqual(['read_file', 'send']);
  expect(hub.requests).toEqual([]);
  expect(progress).toEqual(['3 of 3 new tools are embedded']);
});

it('with `auto` a model that is not there is not downloaded, and the answer says how to get it', async () => {
  const { search, hub } = await open({ mode: 'auto' });
  expect(await rank(search, 'a photo')).toBe('tiny is not on this machine; `workcell tools embed` gets it');
  expect(hub.requests).toEqual([]);
});

it('with `auto` a model that is in the cache is used', async () => {
  const { search, cache, hub } = await open({ mode: 'auto' });
  await cp(source.path, cachedModelFolder(cache, hub.model), { recursive: true });
  expect(await rank(search, 'a photo')).toEqual(['take_picture']);
  expect(hub.requests).toEqual([]);
});

it('prepare() downloads the model also with `auto`, tells how far it is, and then queries have all they need', async () => {
  const { search, hub, progress } = await open({ mode: 'auto' });
  await search.prepare();
  expect(hub.requests).toHaveLength(4);
  expect(progress.at(-1)).toBe('3 of 3 new tools are embedded');
  expect(progress.filter((text) => text.includes('100 % of'))).toHaveLength(1);
  expect(await rank(search, 'a photo')).toEqual(['take_picture']);
});

it('with `on` the first query downloads the model', async () => {
  const { search, hub } = await open({ mode: 'on' });
  expect(await rank(search, 'a photo')).toEqual(['take_picture']);
  expect(hub.requests).toHaveLength(4);
});

it('offline, nothing is downloaded, not even when that is asked for', async () => {
  const { search, hub } = await open({ mode: 'on', offline: true });
  expect(await rank(search, 'a photo')).toContain('tiny is not in the cache, and selector.embeddings.offline');
  await expect(search.prepare()).rejects.toMatchObject({ code: 'not_found' });
  expect(hub.requests).toEqual([]);
});

it('a query waits a few seconds for a model that does not come, the next ones do not, and both say what is going on', async () => {
  const { search, hub } = await open({ mode: 'on' }, () => {});
  const start = performance.now();
  expect(names(await search.rank('a photo', 5))).toBe('the embedding model still loads');
  expect(performance.now() - start).toBeGreaterThan(2_900);
  const second = performance.now();
  expect(names(await search.rank('a photo', 5))).toBe('the embedding model still loads');
  expect(performance.now() - second).toBeLessThan(2_900);
  expect(hub.requests).toHaveLength(1);
});

it('a model that comes late is used from then on', async () => {
  const release = Promise.withResolvers<void>();
  const real = await serveModel(source.path);
  onTestFinished(() => real[Symbol.asyncDispose]());
  const { search } = await open({ mode: 'on' }, async (request, response) => {
    await release.promise;
    response.end(Buffer.from(await (await fetch(`${real.model.url}${request.url}`)).arrayBuffer()));
  });
  expect(names(await search.rank('a photo', 5))).toBe('the embedding model still loads');
  release.resolve();
  const found = await eventually(async () => {
    const answer = await search.rank('a photo', 5);
    return 'ranked' in answer && names(answer);
  });
  expect(found).toEqual(['take_picture']);
});

it('a failed download is not tried again with each query', async () => {
  const { search, hub } = await open({ mode: 'on' }, (_request, response) => response.writeHead(503).end());
  expect(await rank(search, 'a photo')).toContain('status 503');
  expect(await rank(search, 'a photo')).toContain('status 503');
  expect(hub.requests).toHaveLength(1);
});

it('closing does not wait for a download that hangs', async () => {
  const { search } = await open({ mode: 'on' }, () => {});
  const answer = search.rank('a photo', 5);
  const start = performance.now();
  await search[Symbol.asyncDispose]();
  expect(performance.now() - start).toBeLessThan(2_900);
  expect(names(await answer)).toContain('closed');
});

it('other tools are found as soon as they are set, and only new ones are embedded', async () => {
  const { search, progress } = await open({ mode: 'on', modelPath: source.path });
  await rank(search, 'a photo');
  search.setTools([...TOOLS, tool('disk', 'write_file', 'Write a document')]);
  expect(await rank(search, 'a document')).toEqual(['read_file', 'write_file']);
  expect(progress.at(-1)).toBe('1 of 1 new tools are embedded');
  search.setTools([]);
  expect(await rank(search, 'a document')).toEqual([]);
});

it.each([
  ['holds no model', async (_folder: string) => {}, 'selector.embeddings.modelPath names a folder without'],
  [
    'holds a broken model',
    async (folder: string) => {
      await cp(source.path, folder, { recursive: true });
      await writeFile(join(folder, 'onnx/model_quantized.onnx'), 'broken');
    },
    '`workcell tools embed` says why',
  ],
])('a folder that %s is an answer that says so, without a path of this machine', async (_what, fill, reason) => {
  await using folder = await tempFolder();
  await fill(folder.path);
  const { search } = await open({ mode: 'on', modelPath: folder.path });
  const answer = await rank(search, 'a photo');
  expect(answer).toContain(reason);
  expect(answer).not.toContain(folder.path);
  await expect(search.prepare()).rejects.toThrow();
});

function tool(server: string, name: string, description: string): ToolDescriptor {
  return { kind: 'upstream', server, tool: name, identifier: name, description, inputSchema: {} };
}
