import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ToolCatalog } from '../../../src/catalog/tool-catalog.ts';
import { UpstreamHub, type UpstreamHubOptions } from '../../../src/upstream/upstream-hub.ts';
import { type SyncReport, syncServer } from '../../../src/workcell/sync-server.ts';
import { doubleServer, officialServers, stdioServer } from '../../support/mcp-servers.ts';
import { descendants } from '../../support/processes.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
let catalog: ToolCatalog;
let hub: UpstreamHub;

beforeEach(async () => {
  folder = await tempFolder();
  catalog = await ToolCatalog.open({ servers: join(folder.path, 'servers') });
});

afterEach(async () => {
  await hub.close();
  expect(await descendants()).toEqual([]);
  await folder[Symbol.asyncDispose]();
});

function start(servers: UpstreamHubOptions['servers']): void {
  hub = new UpstreamHub({ servers });
}

const sync = (servers = hub.servers, timeoutMs = 120_000): Promise<readonly SyncReport[]> =>
  Promise.all(servers.map((server) => syncServer(server, { hub, catalog, timeoutMs })));
const entry = (name: string, description = '') => ({ name, description, inputSchema: { type: 'object' } });

describe('syncServer', () => {
  it('writes the tools of the official servers, and finds nothing to do the second time', async () => {
    start(officialServers(folder.path));
    const first = await sync();
    expect(first.map(({ server, ok }) => [server, ok])).toEqual([
      ['filesystem', true],
      ['memory', true],
      ['everything', true],
    ]);
    const readAll = () =>
      Promise.all(catalog.list().map(({ server, identifier }) => catalog.load(`${server}/${identifier}.ts`)));
    const sources = await readAll();
    expect(sources).not.toContain(undefined);
    for (const report of await sync()) expect(report).toMatchObject({ ok: true, added: [], changed: [], removed: [] });
    expect(await readAll()).toEqual(sources);
    expect(await readdir(join(folder.path, 'servers/memory'))).toContain('createEntities.ts');
  });

  it('follows a server whose tools change and disappear', async () => {
    const toolsFile = join(folder.path, 'tools.json');
    const publish = (...tools: unknown[]) => writeFile(toolsFile, JSON.stringify(tools));
    start({ double: doubleServer({ toolsFile, pageSize: 1 }) });
    await publish(entry('stays'), entry('changes', 'old'), entry('goes'));
    expect(await sync()).toMatchObject([{ added: ['changes', 'goes', 'stays'] }]);
    await publish(entry('stays'), entry('changes', 'new'), entry('comes'));
    expect(await sync()).toEqual([
      {
        server: 'double',
        ok: true,
        added: ['comes'],
        changed: ['changes'],
        removed: ['goes'],
        unchanged: ['stays'],
        filtered: [],
        unmatched: [],
        quarantined: [],
        status: { state: 'connected', breaker: 'closed' },
      },
    ]);
    expect(await catalog.load('double/goes.ts')).toBeUndefined();
    expect(JSON.parse((await catalog.load('double/manifest.json')) ?? '')).toMatchObject({ description: 'A double' });
  });

  it('of a server that is down leaves its files, and does not stop the others', async () => {
    start({ a: doubleServer({ tools: [entry('x')] }), b: doubleServer({ tools: [entry('y')] }) });
    await sync();
    await hub.close();
    start({ a: stdioServer('no-such-command', []), b: doubleServer({ tools: [entry('z')] }) });
    const reports = await sync();
    expect(reports).toContainEqual(expect.objectContaining({ server: 'b', ok: true, added: ['z'], removed: ['y'] }));
    expect(reports).toContainEqual({
      server: 'a',
      ok: false,
      error: expect.objectContaining({ code: 'upstream_unavailable' }),
      status: { state: 'down', breaker: 'closed', problem: expect.stringContaining('no-such-command') },
    });
    expect(catalog.find('a.x')).toBeDefined();
    expect(await readFile(join(folder.path, 'servers/a/x.ts'), 'utf8')).toContain('callTool');
  });

  it('reports a server that nobody knows', async () => {
    start({ a: doubleServer({ tools: [entry('x')] }) });
    expect(await sync(['a', 'c'])).toMatchObject([
      { server: 'a', ok: true },
      { server: 'c', ok: false, error: { code: 'not_found' } },
    ]);
  });

  it('gives up on a server that does not answer, in the time it was given', async () => {
    start({ mute: doubleServer({ mute: true }) });
    expect(await sync(['mute'], 300)).toMatchObject([
      {
        ok: false,
        error: {
          code: 'deadline_exceeded',
          message: expect.stringMatching(/^Reading the tools of MCP server "mute" took longer/),
        },
      },
    ]);
  });
});
