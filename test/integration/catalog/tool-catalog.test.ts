import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ToolCatalog } from '../../../src/catalog/tool-catalog.ts';
import type { ListedTool, ServerListing } from '../../../src/catalog/write-server.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
beforeEach(async () => {
  folder = await tempFolder();
});
afterEach(() => folder[Symbol.asyncDispose]());

const open = (): Promise<ToolCatalog> => ToolCatalog.open({ servers: folder.path });

async function put(path: string, content: unknown): Promise<void> {
  const target = join(folder.path, path);
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, typeof content === 'string' ? content : JSON.stringify(content));
}

const listed = (tool: string, description = ''): ListedTool => ({ tool, description, inputSchema: { type: 'object' } });
const listing = (...tools: ListedTool[]): ServerListing => ({ server: 'srv', description: 'A server', tools });
const handWritten = (server: string) => ({
  server,
  kind: 'module',
  tools: [{ tool: 'add', identifier: 'add', description: 'Adds', inputSchema: true }],
});

/** Every file of a server with its content. */
async function snapshot(server = 'srv'): Promise<Record<string, string>> {
  const names = (await readdir(join(folder.path, server))).sort();
  const entries = names.map(async (name) => [name, await readFile(join(folder.path, server, name), 'utf8')]);
  return Object.fromEntries(await Promise.all(entries));
}

describe('opening', () => {
  it('finds the servers of the project, hand-written ones too', async () => {
    const catalog = await ToolCatalog.open({ servers: fileURLToPath(new URL('../../../servers', import.meta.url)) });
    expect(catalog.servers()).toContainEqual(
      expect.objectContaining({ name: 'calculator', kind: 'module', status: 'ready' }),
    );
    expect(catalog.get('calculator.add')).toMatchObject({ kind: 'module', server: 'calculator', identifier: 'add' });
    expect(catalog.servers().filter(({ status }) => status === 'broken')).toEqual([]);
  });

  it('without a servers folder gives an empty catalog', async () => {
    const catalog = await ToolCatalog.open({ servers: join(folder.path, 'missing') });
    expect(catalog.list()).toEqual([]);
  });

  it('reports what is broken in one server, and reads the others', async () => {
    await put('good/manifest.json', handWritten('good'));
    await put('text/manifest.json', 'not json');
    await put('shape/manifest.json', { ...handWritten('shape'), tools: [{ tool: 'a' }] });
    await put('escape/manifest.json', { ...handWritten('escape'), tools: [{ ...listed('a'), identifier: '../../x' }] });
    await put('other/manifest.json', handWritten('good'));
    const add = handWritten('twice').tools[0];
    await put('twice/manifest.json', { ...handWritten('twice'), tools: [add, add] });
    await put('Bad Name/manifest.json', handWritten('Bad Name'));
    await put('runtime/manifest.json', handWritten('runtime'));
    await put('no-server/readme.md', '');
    await put('runtime.ts', '');
    const catalog = await open();
    const problems = catalog
      .servers()
      .flatMap((server) => (server.status === 'broken' ? [`${server.name}: ${server.problem}`] : []));
    expect(problems).toEqual([
      expect.stringMatching(/^Bad Name: .*is not a server name/),
      expect.stringMatching(/^escape: .*tools\.0\.identifier: is not an identifier/),
      'other: Cannot read servers/other/manifest.json: it names the server "good"',
      expect.stringMatching(/^runtime: .*is reserved/),
      expect.stringMatching(/^shape: Cannot read servers\/shape\/manifest\.json: tools\.0\./),
      'text: Cannot read servers/text/manifest.json: it is not JSON',
      'twice: Cannot read servers/twice/manifest.json: the tool "add" is there twice',
    ]);
    expect(catalog.list().map(({ server, tool }) => `${server}.${tool}`)).toEqual(['good.add']);
  });
});

describe('finding', () => {
  let catalog: ToolCatalog;
  beforeEach(async () => {
    catalog = await open();
    await catalog.writeServer(listing(listed('create_entities'), listed('create_relations'), listed('odd.name/1')));
  });

  it('takes original names and identifiers', () => {
    expect(catalog.find('srv.create_entities')?.identifier).toBe('createEntities');
    expect(catalog.find('srv.createEntities')?.tool).toBe('create_entities');
    expect(catalog.find('srv.odd.name/1')?.tool).toBe('odd.name/1');
  });

  it.each(['', '.', 'srv', 'srv.', 'create_entities', 'other.create_entities', 'srv.constructor', '__proto__.x'])(
    '%j finds nothing',
    (name) => {
      expect(catalog.find(name)).toBeUndefined();
    },
  );

  it('gives the same objects each time', () => {
    expect(catalog.find('srv.create_entities')).toBe(catalog.list()[0]);
  });

  it('getting what is not there names the nearest', () => {
    const message = 'There is no tool "srv.create_entity"; did you mean srv.create_entities or srv.create_relations?';
    expect(() => catalog.get('srv.create_entity')).toThrow(expect.objectContaining({ code: 'not_found', message }));
    expect(() => catalog.get('create_relations')).toThrow(/did you mean srv\.create_relations\?/);
    expect(() => catalog.get('weather')).toThrow(/name it as <server>\.<tool>/);
  });
});

describe('writing a server', () => {
  it('writes a wrapper for each tool, an index and a manifest, which another catalog reads the same', async () => {
    const catalog = await open();
    const annotated = {
      ...listed('b-tool', 'B'),
      outputSchema: { type: 'object' },
      annotations: { readOnlyHint: true },
    };
    const changes = await catalog.writeServer(listing(annotated, listed('a_tool', 'A')));
    expect(changes).toEqual({ added: ['a_tool', 'b-tool'], changed: [], removed: [], unchanged: [] });
    const files = await snapshot();
    expect(Object.keys(files)).toEqual(['aTool.ts', 'bTool.ts', 'index.ts', 'manifest.json']);
    expect(files['aTool.ts']).toContain("callTool('srv', 'a_tool', input");
    expect((await open()).list()).toEqual(catalog.list());
    expect((await open()).servers()).toMatchObject([{ name: 'srv', kind: 'upstream', description: 'A server' }]);
  });

  it('again changes no file, in whatever order the tools come', async () => {
    const catalog = await open();
    await catalog.writeServer(listing(listed('a'), listed('b')));
    const before = await snapshot();
    const path = join(folder.path, 'srv/manifest.json');
    const { ino } = await stat(path);
    const changes = await (await open()).writeServer(listing(listed('b'), listed('a')));
    expect(changes).toEqual({ added: [], changed: [], removed: [], unchanged: ['a', 'b'] });
    expect(await snapshot()).toEqual(before);
    expect((await stat(path)).ino).toBe(ino);
  });

  it('tells what was added, changed and removed, and takes the wrapper of a removed tool away', async () => {
    const catalog = await open();
    await catalog.writeServer(listing(listed('same'), listed('changes', 'old'), listed('goes')));
    await put('srv/mine.ts', '// by hand');
    const changes = await catalog.writeServer(listing(listed('same'), listed('changes', 'new'), listed('comes')));
    expect(changes).toEqual({ added: ['comes'], changed: ['changes'], removed: ['goes'], unchanged: ['same'] });
    expect(Object.keys(await snapshot())).toEqual([
      'changes.ts',
      'comes.ts',
      'index.ts',
      'manifest.json',
      'mine.ts',
      'same.ts',
    ]);
    expect(catalog.find('srv.goes')).toBeUndefined();
    expect(catalog.get('srv.changes').description).toBe('new');
  });

  it('to no tools at all leaves an empty index and what is hand-written', async () => {
    const catalog = await open();
    await catalog.writeServer(listing(listed('a')));
    await put('srv/mine.ts', '// by hand');
    expect(await catalog.writeServer(listing())).toMatchObject({ removed: ['a'] });
    expect(Object.keys(await snapshot())).toEqual(['index.ts', 'manifest.json', 'mine.ts']);
  });

  it('gives tools whose names collide a file each, also the ones called index and manifest', async () => {
    const names = ['get-x', 'get_x', 'getX', 'GetX', 'index', 'manifest', '123', '../../etc/passwd', 'ü', '', 'class'];
    const catalog = await open();
    await catalog.writeServer(listing(...names.filter((name) => name !== '').map((name) => listed(name))));
    const files = Object.keys(await snapshot());
    expect(new Set(files.map((name) => name.toLowerCase())).size).toBe(names.length - 1 + 2);
    expect(
      catalog
        .list()
        .map(({ tool }) => tool)
        .sort(),
    ).toEqual(names.filter((name) => name !== '').sort());
    expect(await readdir(folder.path)).toEqual(['srv']);
    expect((await open()).list()).toEqual(catalog.list());
  });

  it('never overwrites a hand-written server', async () => {
    await put('srv/manifest.json', handWritten('srv'));
    await put('srv/add.ts', '// by hand');
    const before = await snapshot();
    await expect((await open()).writeServer(listing(listed('add')))).rejects.toMatchObject({
      code: 'invalid_state',
      message: 'servers/srv is hand-written and is not overwritten; give the MCP server another name',
    });
    expect(await snapshot()).toEqual(before);
  });

  it.each([
    ['a wrapper', 'a.ts'],
    ['the index', 'index.ts'],
  ])('refuses a hand-written file in the way of %s, and writes nothing', async (_what, name) => {
    await put(`srv/${name}`, '// by hand');
    await expect((await open()).writeServer(listing(listed('a'), listed('b')))).rejects.toMatchObject({
      code: 'already_exists',
      message: `servers/srv/${name} is hand-written and is not overwritten; move or rename it`,
    });
    expect(await snapshot()).toEqual({ [name]: '// by hand' });
  });

  it('puts a generated file right that someone changed', async () => {
    const catalog = await open();
    await catalog.writeServer(listing(listed('a')));
    const before = await snapshot();
    await put('srv/a.ts', '// changed by hand');
    await put('srv/index.ts', '');
    expect(await catalog.writeServer(listing(listed('a')))).toMatchObject({ unchanged: ['a'] });
    expect(await snapshot()).toEqual(before);
  });

  it('takes up a run that was cut off before its manifest', async () => {
    await (await open()).writeServer(listing(listed('a', 'old'), listed('b')));
    await rm(join(folder.path, 'srv/manifest.json'));
    await (await open()).writeServer(listing(listed('a', 'new'), listed('b')));
    expect((await open()).get('srv.a').description).toBe('new');
  });

  it('over a manifest that cannot be read is refused: nobody knows what is generated', async () => {
    await put('srv/manifest.json', '{');
    await expect((await open()).writeServer(listing(listed('a')))).rejects.toMatchObject({ code: 'invalid_state' });
    expect(await snapshot()).toEqual({ 'manifest.json': '{' });
  });

  it.each(['../srv', 'a/b', '', '.', '..', 'Srv', 'runtime', 'x\0', 'n'.repeat(64)])(
    'refuses the name %j before it comes near a path',
    async (server) => {
      const catalog = await open();
      await expect(catalog.writeServer({ server, tools: [listed('a')] })).rejects.toMatchObject({
        code: 'invalid_argument',
      });
      expect(await readdir(folder.path)).toEqual([]);
    },
  );
});

describe('loading a module', () => {
  it('gives its source, and undefined when there is none', async () => {
    await put('srv/lib/a.ts', 'export {};');
    const catalog = await open();
    expect(await catalog.load('srv/lib/a.ts')).toBe('export {};');
    expect(await catalog.load('srv/b.ts')).toBeUndefined();
    expect(await catalog.load('nobody/index.ts')).toBeUndefined();
  });

  it.each(['../secret', 'srv/../../secret', '/etc/passwd', 'srv//a.ts', './srv/a.ts', 'srv/\0'])(
    'refuses %j',
    async (path) => {
      await put('srv/a.ts', '');
      await expect((await open()).load(path)).rejects.toMatchObject({ code: 'invalid_argument' });
    },
  );

  it('follows no link, and reads no folder', async () => {
    await put('srv/a.ts', '');
    await symlink('/etc/passwd', join(folder.path, 'srv/file.ts'));
    await symlink('/etc', join(folder.path, 'srv/etc'));
    const catalog = await open();
    for (const path of ['srv/file.ts', 'srv/etc/passwd', 'srv']) {
      await expect(catalog.load(path)).rejects.toMatchObject({ code: 'invalid_state' });
    }
  });
});
