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
    expect(catalog.find('srv.odd_name_1')?.tool).toBe('odd.name/1');
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
    expect(Object.keys(files)).toEqual([
      '__init__.py',
      'aTool.ts',
      'a_tool.py',
      'bTool.ts',
      'b_tool.py',
      'index.ts',
      'manifest.json',
    ]);
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
      '__init__.py',
      'changes.py',
      'changes.ts',
      'comes.py',
      'comes.ts',
      'index.ts',
      'manifest.json',
      'mine.ts',
      'same.py',
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
    expect(Object.keys(await snapshot())).toEqual(['__init__.py', 'index.ts', 'manifest.json', 'mine.ts']);
  });

  it('gives tools whose names collide a file each, also the ones called index and manifest', async () => {
    const names = ['get-x', 'get_x', 'getX', 'GetX', 'index', 'manifest', '123', '../../etc/passwd', 'ü', '', 'class'];
    const catalog = await open();
    await catalog.writeServer(listing(...names.filter((name) => name !== '').map((name) => listed(name))));
    const files = Object.keys(await snapshot());
    expect(new Set(files.map((name) => name.toLowerCase())).size).toBe(2 * (names.length - 1) + 3);
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
    ['a Python wrapper', 'a.py'],
    ['the Python package', '__init__.py'],
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

  it('refuses a server that Python could not tell from another', async () => {
    const catalog = await open();
    await catalog.writeServer({ server: 'my-server', tools: [listed('a')] });
    await expect(catalog.writeServer({ server: 'my_server', tools: [listed('a')] })).rejects.toMatchObject({
      code: 'already_exists',
      message: expect.stringMatching(/^servers\/my_server and servers\/my-server would both be "servers\.my_server"/),
    });
    expect(await readdir(folder.path)).toEqual(['my-server']);
    await catalog.writeServer({ server: 'my-server', tools: [listed('b')] });
  });

  it('by several at once leaves one of the results, whole', async () => {
    const catalogs = await Promise.all([1, 2, 3, 4].map(open));
    await Promise.all(catalogs.map((catalog, index) => catalog.writeServer(listing(listed(`tool${index}`)))));
    const [tool] = (await open()).list();
    expect(Object.keys(await snapshot()).sort()).toEqual(
      ['__init__.py', 'index.ts', 'manifest.json', `${tool?.identifier}.ts`, `${tool?.pythonIdentifier}.py`].sort(),
    );
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

describe('bringing folders forward', () => {
  const old = {
    server: 'srv',
    kind: 'upstream',
    generator: 1,
    tools: [{ tool: 'a-b', identifier: 'aB', description: 'A', inputSchema: { type: 'object' }, schemaHash: 'x' }],
  };

  it('writes what an earlier version did not, without asking the server', async () => {
    await put('srv/manifest.json', old);
    await put('hand/manifest.json', handWritten('hand'));
    const catalog = await open();
    expect(catalog.get('srv.a-b').pythonIdentifier).toBeUndefined();
    expect(await catalog.bringForward()).toEqual([]);
    expect(Object.keys(await snapshot())).toEqual(['__init__.py', 'aB.ts', 'a_b.py', 'index.ts', 'manifest.json']);
    expect(catalog.get('srv.a-b').pythonIdentifier).toBe('a_b');
    expect((await open()).list()).toEqual(catalog.list());
    expect(await snapshot('hand')).toEqual({ 'manifest.json': JSON.stringify(handWritten('hand')) });
  });

  it('tells of a folder with which that fails, and does the others', async () => {
    await put('srv/manifest.json', old);
    await put('srv/a_b.py', '# by hand');
    await put('two/manifest.json', { ...old, server: 'two' });
    const failed = await (await open()).bringForward();
    expect(failed).toEqual([{ server: 'srv', error: expect.objectContaining({ code: 'already_exists' }) }]);
    expect(Object.keys(await snapshot('two'))).toContain('a_b.py');
  });
});

describe('learning types from results', () => {
  const result = { temperature: 21.5, city: 'Oslo', alarms: [], 'anna@example.com': 1 };
  const observed = async (catalog: ToolCatalog, value: unknown = result) => {
    const seen = catalog.observe({ server: 'srv', tool: 'weather' }, value);
    if (seen !== undefined) await catalog.learn('srv', new Map([['weather', seen]]));
    return seen;
  };

  it('gives the wrappers a type that says where it comes from, and keeps no value', async () => {
    const catalog = await open();
    await catalog.writeServer(listing(listed('weather', 'The weather of a city'), listed('other')));
    const before = await snapshot();
    await observed(catalog);
    const after = await snapshot();
    const changed = Object.keys(after).filter((name) => after[name] !== before[name]);
    expect(changed).toEqual(['observed.json', 'weather.py', 'weather.ts']);
    expect(after['weather.ts']).toContain(`/** Learned from results that were observed; the server promises nothing */
export type WeatherOutput = {
  city: string;
  temperature: number;
  [key: string]: unknown;
};`);
    expect(after['weather.py']).toContain('class WeatherOutput(TypedDict):');
    expect(changed.map((name) => after[name]).join()).not.toMatch(/Oslo|21\.5|anna|example/);
    expect((await open()).list()).toEqual(catalog.list());
  });

  it('widens them with what comes later, and writes nothing when nothing is new', async () => {
    const catalog = await open();
    await catalog.writeServer(listing(listed('weather', 'The weather of a city')));
    await observed(catalog);
    const { ino } = await stat(join(folder.path, 'srv/observed.json'));
    await observed(catalog, { ...result, temperature: -3, city: 'Rome' });
    expect((await stat(join(folder.path, 'srv/observed.json'))).ino).toBe(ino);
    await observed(catalog, { city: null });
    expect((await snapshot())['weather.ts']).toContain('  city: string | null;\n  temperature?: number;\n');
  });

  it('joins what several processes learn at the same time', async () => {
    await (await open()).writeServer(listing(listed('weather', 'The weather of a city')));
    const catalogs = await Promise.all([1, 2, 3, 4].map(open));
    const values = [{ city: 1 }, { city: 'a' }, { city: null }, { city: true }];
    await Promise.all(catalogs.map((catalog, index) => observed(catalog, values[index])));
    expect((await snapshot())['weather.ts']).toMatch(/city: (?=.*null)(?=.*boolean)(?=.*number)(?=.*string).*;/);
  });

  it('is no reason for a check to refuse a program', async () => {
    const catalog = await open();
    await catalog.writeServer(listing(listed('weather', 'The weather of a city'), listed('other')));
    await observed(catalog);
    expect(await catalog.load('srv/weather.ts')).toContain('  city: string;');
    expect(await catalog.loadPromised('srv/weather.ts')).toContain('WeatherOutput = unknown;');
    expect(await catalog.loadPromised('srv/other.ts')).toBe(await catalog.load('srv/other.ts'));
    expect(await catalog.loadPromised('srv/index.ts')).toBe(await catalog.load('srv/index.ts'));
  });

  it('forgets what it knew of a tool that has changed', async () => {
    const catalog = await open();
    await catalog.writeServer(listing(listed('weather', 'The weather of a city')));
    await observed(catalog);
    await catalog.writeServer(listing(listed('weather', 'Other weather of a city')));
    expect((await snapshot())['weather.ts']).toContain('WeatherOutput = unknown;');
    await observed(catalog, { city: 1 });
    expect((await snapshot())['weather.ts']).not.toContain('temperature');
  });

  it('does not learn what a server promises, what a hand-written tool gives, and anything when it is off', async () => {
    const catalog = await open();
    await catalog.writeServer(listing({ ...listed('weather'), outputSchema: { type: 'object' } }));
    expect(await observed(catalog)).toBeUndefined();
    await put('hand/manifest.json', handWritten('hand'));
    expect((await open()).observe({ server: 'hand', tool: 'add' }, 1)).toBeUndefined();
    expect(catalog.observe({ server: 'nobody', tool: 'x' }, 1)).toBeUndefined();

    await catalog.writeServer(listing(listed('weather', 'The weather of a city')));
    await observed(catalog);
    const off = await ToolCatalog.open({ servers: folder.path, observed: false });
    expect(await observed(off)).toBeUndefined();
    expect(off.get('srv.weather').observedOutput).toBeUndefined();
    await off.writeServer(listing(listed('weather', 'The weather of a city')));
    expect((await snapshot())['weather.ts']).toContain('WeatherOutput = unknown;');
  });

  it('begins anew when its file is broken', async () => {
    const catalog = await open();
    await catalog.writeServer(listing(listed('weather', 'The weather of a city')));
    await put('srv/observed.json', '{ "tools": { "weather": 3 } }');
    await observed(await open(), { city: 'a' });
    expect(JSON.parse((await snapshot())['observed.json'] ?? '')).toMatchObject({ tools: { weather: {} } });
  });
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
