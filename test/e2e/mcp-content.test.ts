import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IMAGE_LIMITS } from '../../src/mcp/execution-images.ts';
import { type ApiServer, openApiServer } from '../support/api-server.ts';
import { connectHttp, type HttpClient, textOf } from '../support/mcp-client.ts';
import { PNG } from '../support/mcp-conformance/fixture-tools.ts';
import { doubleServer } from '../support/mcp-servers.ts';

const PIXEL = { type: 'image', data: PNG, mimeType: 'image/png' };
const BYTES = Buffer.from(PNG, 'base64').length;
const BROKEN = 'The disk of /srv/secret is on fire';

const problems: unknown[] = [];
let server: ApiServer;
let ann: HttpClient;

beforeAll(async () => {
  const tools = [{ name: 'answer', description: 'Answers what it is told', inputSchema: { type: 'object' } }];
  server = await openApiServer({
    mcpServers: { double: doubleServer({ tools }) },
    mcp: {
      onProblem: (error) => problems.push(error),
      more: {
        tools: { list: () => [], find: () => undefined },
        resources: {
          template: { name: 'broken', uriTemplate: 'broken://{x}' },
          list: async () => ({ resources: [] }),
          read: (uri) => (uri.startsWith('broken:') ? Promise.reject(new Error(BROKEN)) : undefined),
        },
      },
    },
  });
  ann = await connectHttp(`${server.url}/customers/ann/mcp`, server.key);
});

afterAll(async () => {
  await ann?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

async function run(code: string, language = 'typescript'): Promise<CallToolResult> {
  return (await ann.client.callTool({ name: 'execute_code', arguments: { code, language } })) as CallToolResult;
}

async function write(path: string, data: Buffer | string): Promise<void> {
  await (await server.cell.customer('ann').workspace()).files.writeFile(path, data);
}

/** A PNG as far as its first bytes go. */
function pngOf(bytes: number): Buffer {
  return Buffer.concat([Buffer.from(PNG, 'base64'), Buffer.alloc(bytes - BYTES)]);
}

function imagesIn({ content }: CallToolResult): readonly object[] {
  return content.filter(({ type }) => type === 'image');
}

describe('the images of a program', () => {
  it('are shown when they are in its value, as data, as files, or as a tool gives them', async () => {
    await write('chart.png', Buffer.from(PNG, 'base64'));
    const shown = await run(
      `import { answer } from 'servers/double';
       const blocks = await answer({ result: { content: [{ type: 'text', text: 'look' }, ${JSON.stringify(PIXEL)}] } });
       return { chart: { type: 'image', path: '/workspace/chart.png' }, blocks };`,
    );
    expect(imagesIn(shown)).toEqual([PIXEL, PIXEL]);
    const image = { type: 'image', mimeType: 'image/png', bytes: BYTES };
    expect(shown.structuredContent).toMatchObject({
      value: {
        chart: { ...image, path: 'chart.png', shown: 1 },
        blocks: [
          { type: 'text', text: 'look' },
          { ...image, shown: 2 },
        ],
      },
    });
    expect(textOf(shown)).not.toContain(PNG);
    const { execution_id: id } = shown.structuredContent as { execution_id: string };
    const whole = await ann.client.readResource({ uri: `workcell://executions/${id}/value` });
    expect(JSON.stringify(whole.contents)).toContain(PNG);
    const again = await ann.client.callTool({ name: 'get_execution', arguments: { execution_id: id } });
    expect(imagesIn(again as CallToolResult)).toEqual([PIXEL, PIXEL]);
  });

  it('are shown of Python programs, too', async () => {
    const shown = await run("result = {'type': 'image', 'path': './chart.png', 'mimeType': 'image/x'}", 'python');
    expect(imagesIn(shown)).toEqual([PIXEL]);
  });

  it('are shown when their data is a URL', async () => {
    expect(imagesIn(await run(`return { type: 'image', data: 'data:image/png;base64,${PNG}' };`))).toEqual([PIXEL]);
  });

  it('are known by their first bytes, and lie in the workspace', async () => {
    await write('notes.txt', 'no image');
    const code = `require('node:fs').symlinkSync('/etc/passwd', 'passwd.png');
      return ['notes.txt', 'nosuch.png', '../../keys.json', 'passwd.png'].map((path) => ({ type: 'image', path }));`;
    const shown = await run(code);
    expect(shown.content).toHaveLength(1);
    const { value } = shown.structuredContent as { value: { problem: string }[] };
    expect(value.map(({ problem }) => problem)).toEqual([
      expect.stringContaining('no PNG, JPEG, GIF or WebP'),
      expect.stringContaining('nosuch.png'),
      expect.stringContaining('keys.json'),
      expect.stringContaining('passwd.png'),
    ]);
  });

  it('are links when they are too large', async () => {
    const { imageBytes } = IMAGE_LIMITS;
    await write('below.png', pngOf(imageBytes - 1));
    await write('at.png', pngOf(imageBytes));
    await write('above.png', pngOf(imageBytes + 1));
    await write('chart.png', pngOf(BYTES + 1));
    const shown = await run(
      "return ['below', 'at', 'above', 'chart'].map((name) => ({ type: 'image', path: name + '.png' }));",
    );
    expect(imagesIn(shown)).toHaveLength(2);
    // One is too large for itself, one for all of them together.
    const links = shown.content.filter((block) => block.type === 'resource_link');
    expect(links.map(({ uri }) => uri)).toEqual(['workcell://workspace/above.png', 'workcell://workspace/chart.png']);
    expect(shown.structuredContent).toMatchObject({
      value: [
        { shown: 1 },
        { shown: 2 },
        { path: 'above.png', uri: 'workcell://workspace/above.png' },
        { bytes: BYTES + 1 },
      ],
    });
  });

  it('are so many and no more', async () => {
    const { images } = IMAGE_LIMITS;
    const shown = await run(`return Array.from({ length: ${images + 1} }, () => (${JSON.stringify(PIXEL)}));`);
    expect(imagesIn(shown)).toHaveLength(images);
    const { value } = shown.structuredContent as { value: unknown[] };
    expect(value[images - 1]).toMatchObject({ shown: images });
    expect(value[images]).toMatchObject({ type: 'image', problem: expect.stringContaining('one image too many') });
  });
});

describe('the resources', () => {
  it('list the files of all folders, page by page, in an order that stays', async () => {
    await using bob = await connectHttp(`${server.url}/customers/bob/mcp`, server.key);
    const { files } = await server.cell.customer('bob').workspace();
    const names = Array.from({ length: 105 }, (_, index) => `b/deep/${String(index).padStart(3, '0')}`);
    const wanted = ['a', ...names, 'b/é ü.txt', 'b.txt', 'c/last'].sort((x, y) => (key(x) < key(y) ? -1 : 1));
    for (const path of wanted) await files.writeFile(path, path);
    const listed: string[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const page = await bob.client.listResources(cursor === undefined ? {} : { cursor });
      listed.push(...page.resources.map(({ name }) => name));
      expect(page.resources.length).toBeLessThanOrEqual(100);
      // What is gone meanwhile hides nothing else.
      if (pages === 0) await files.remove(page.resources.at(-1)?.name ?? '');
      cursor = page.nextCursor;
      pages += 1;
    } while (cursor !== undefined);
    expect({ pages, listed }).toEqual({ pages: 2, listed: wanted });
    const { contents } = await bob.client.readResource({ uri: 'workcell://workspace/b/%C3%A9%20%C3%BC.txt' });
    expect(contents).toMatchObject([{ text: 'b/é ü.txt' }]);
    await expect(bob.client.listResources({ cursor: '9:x' })).rejects.toThrow('no page of resources');
  });

  it('are none of a customer that has nothing, and looking makes it no other', async () => {
    await using carl = await connectHttp(`${server.url}/customers/carl/mcp`, server.key);
    expect((await carl.client.listResources()).resources).toEqual([]);
    const missing = carl.client.readResource({ uri: 'workcell://workspace/x' });
    await expect(missing).rejects.toMatchObject({ code: -32002 });
    expect(await server.cell.customer('carl').exists()).toBe(false);
  });

  it('give a file that is too large in parts, which are the whole file together', async () => {
    const size = 4 * 1024 * 1024;
    const uri = 'workcell://workspace/large%3F.txt';
    const read = async (query: string) => {
      const { contents } = await ann.client.readResource({ uri: uri + query });
      return contents[0] as { readonly text?: string; readonly blob?: string };
    };
    // A character of three bytes lies across the end of the first part, and one of four across that of the second.
    const text = `${'a'.repeat(size - 1)}€${'b'.repeat(size - 3)}😀c`;
    await write('large?.txt', text);
    await expect(read('')).rejects.toThrow(
      `it has ${2 * size + 4} bytes, which are too many at once; read it in parts: ${uri}?offset=0&length=${size}`,
    );
    const parts = await Promise.all([0, 1, 2].map((part) => read(`?offset=${part * size}&length=${size}`)));
    expect(parts.map((part) => part.text?.length)).toEqual([size, size - 1, 1]);
    expect(parts.map((part) => part.text).join('') === text).toBe(true);
    expect(await read('?length=3')).toMatchObject({ text: 'aaa', mimeType: 'text/plain' });
    expect((await read(`?offset=1&length=${2 * size}`)).text?.length).toBe(size - 1);
    expect(await read(`?offset=${2 * size + 4}`)).toMatchObject({ text: '' });
    for (const query of [`?offset=${2 * size + 5}`, '?offset=-1', '?offset=x', '?length=0', '?length=1.5'])
      await expect(read(query)).rejects.toMatchObject({ code: -32602 });

    await write('large.bin', Buffer.alloc(size + 1, 0xff));
    const { contents } = await ann.client.readResource({ uri: `workcell://workspace/large.bin?offset=${size - 1}` });
    expect(contents).toMatchObject([{ blob: '//8=', mimeType: 'application/octet-stream' }]);
  });

  it('show images as what they are', async () => {
    await write('chart.png', Buffer.from(PNG, 'base64'));
    const { contents } = await ann.client.readResource({ uri: 'workcell://workspace/chart.png' });
    expect(contents).toMatchObject([{ mimeType: 'image/png', blob: PNG }]);
  });

  it('tell nobody why the server itself has failed, but its log', async () => {
    const failed = ann.client.readResource({ uri: 'broken://1' });
    await expect(failed).rejects.toThrow('internal: The server failed; its log says why');
    await expect(failed).rejects.not.toThrow('secret');
    expect(problems).toEqual([new Error(BROKEN)]);
    await expect(ann.client.readResource({ uri: 'workcell://workspace/%E0' })).rejects.toThrow('is not a valid URI');
    await expect(ann.client.readResource({ uri: 'other://x' })).rejects.toMatchObject({ code: -32002 });
    expect(problems).toHaveLength(1);
  });
});

/** Folders are in the order of their names, and so is what they hold. */
function key(path: string): string {
  return path.replaceAll('/', '\0');
}
