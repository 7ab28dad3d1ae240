import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstat, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findVirtiofsd } from '../../src/sandbox/drivers/qemu/host-tools.ts';
import { View } from '../../src/sandbox/drivers/qemu/view.ts';
import { Deadline } from '../../src/util/deadline.ts';
import { tempFolder } from '../support/temp-folder.ts';

// What a guest with a kernel of its own making sends to the file server, without a guest: FUSE requests by hand.
const CLIENT = fileURLToPath(new URL('../support/raw-fuse-client.py', import.meta.url));
const ROOT_NODE = 1;
const { ENOENT, EINVAL, EROFS, EPERM, EXDEV, EACCES } = constants.errno;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;

interface Answer {
  readonly error: number;
  readonly node: number;
}

let stack: AsyncDisposableStack;
let folder: string;
let view: View;
let ask: (request: Readonly<Record<string, unknown>>) => Promise<Answer>;
/** Nodes of the folders of the share. */
let workspace: number;
let tools: number;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  folder = stack.use(await tempFolder()).path;
  for (const name of ['guest', 'ann', 'tools', 'bob']) await mkdir(join(folder, name));
  await writeFile(join(folder, 'bob', 'secret'), 'of another customer');
  await writeFile(join(folder, 'tools', 'tool.ts'), 'read only');
  const virtiofsd = await findVirtiofsd();
  if (virtiofsd === undefined) throw new Error('virtiofsd is not installed: run `workcell setup`');
  using deadline = new Deadline('Serving a view', 120_000);
  view = await View.serve({ kind: 'host' }, { folder: join(folder, 'guest'), virtiofsd, survives: false }, deadline);
  stack.defer(() => view.daemon.kill());
  await view.attach(mounts(), deadline);
  ask = await rawClient(view.socket);
  const volumes = await nodeOf(ROOT_NODE, 'mounts');
  [workspace, tools] = [await nodeOf(volumes, '0'), await nodeOf(volumes, '1')];
});

afterAll(() => stack.disposeAsync());

function mounts(): Parameters<View['attach']>[0] {
  const options = { nodev: true, nosuid: true, noexec: false };
  const directory = (name: string, target: string, readonly: boolean) =>
    ({ kind: 'directory', path: join(folder, name), target, options: { ...options, readonly } }) as const;
  return [directory('ann', '/workspace', false), directory('tools', '/tools', true)];
}

async function rawClient(socket: string): Promise<typeof ask> {
  const child: ChildProcessWithoutNullStreams = spawn('python3', [CLIENT, socket]);
  stack.defer(() => void child.kill('SIGKILL'));
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk;
  });
  const failed = once(child, 'close').then(() => Promise.reject(new Error(`The client has ended: ${said}`)));
  failed.catch(() => {});
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async () => String((await Promise.race([lines.next(), failed])).value);
  expect(await next()).toBe('ready');
  return async (request) => {
    child.stdin.write(`${JSON.stringify(request)}\n`);
    return JSON.parse(await next()) as Answer;
  };
}

async function nodeOf(node: number, name: string): Promise<number> {
  const answer = await ask({ op: 'lookup', node, name });
  expect(answer).toEqual({ error: 0, node: expect.any(Number) });
  return answer.node;
}

const NAMES = [
  '../bob',
  '../bob/secret',
  '../../../../etc/passwd',
  '/etc/passwd',
  'a/../../bob/secret',
  './../bob',
  '/',
  'x/',
  '../../proc/self/root/etc/passwd',
];

describe('names that no kernel would send', () => {
  it.each(NAMES)('%s finds nothing', async (name) => {
    const { error } = await ask({ op: 'lookup', node: workspace, name });
    expect([ENOENT, EINVAL]).toContain(error);
  });

  it.each([...NAMES, '..', '.'])('%s makes nothing, by whatever request', async (name) => {
    await writeFile(join(folder, 'ann', 'mine'), 'mine');
    const mine = await nodeOf(workspace, 'mine');
    const at = { node: workspace, name };
    const requests = [
      { op: 'mkdir', ...at },
      { op: 'create', ...at },
      { op: 'symlink', ...at, target: '/etc/passwd' },
      { op: 'mknod', ...at, mode: 0o100644, rdev: 0 },
      { op: 'link', ...at, source: mine },
      { op: 'rename', node: workspace, name: 'mine', parent: workspace, target: name },
      { op: 'unlink', ...at },
      { op: 'rmdir', ...at },
    ];
    const before = await everything();
    for (const request of requests) expect((await ask(request)).error, request.op).not.toBe(0);
    expect(await everything()).toEqual(before);
  });

  it('the parent of the share is the share', async () => {
    const up = await ask({ op: 'lookup', node: ROOT_NODE, name: '..' });
    if (up.error === 0) expect((await ask({ op: 'lookup', node: up.node, name: 'mounts' })).error).toBe(0);
    expect((await ask({ op: 'lookup', node: up.node || ROOT_NODE, name: 'home' })).error).toBe(ENOENT);
  });

  it('a climb by ".." ends within the share', async () => {
    let { node } = await ask({ op: 'lookup', node: workspace, name: '..' });
    for (let step = 0; step < 8 && node !== 0; step++) node = (await ask({ op: 'lookup', node, name: '..' })).node;
    for (const name of ['proc', 'home', 'tmp']) {
      const { error } = await ask({ op: 'lookup', node: node || ROOT_NODE, name });
      expect(error).not.toBe(0);
    }
  });
});

describe('links', () => {
  it('a link to the outside is handed back as a link and never followed', async () => {
    expect((await ask({ op: 'symlink', node: workspace, name: 'out', target: join(folder, 'bob') })).error).toBe(0);
    const link = await nodeOf(workspace, 'out');
    expect((await ask({ op: 'lookup', node: link, name: 'secret' })).error).not.toBe(0);
    expect((await ask({ op: 'create', node: link, name: 'planted' })).error).not.toBe(0);
    expect(await readdir(join(folder, 'bob'))).toEqual(['secret']);
  });

  it('opening a link does not open its target', async () => {
    await ask({ op: 'symlink', node: workspace, name: 'passwd', target: '/etc/passwd' });
    const link = await nodeOf(workspace, 'passwd');
    expect((await ask({ op: 'open', node: link, flags: 0 })).error).not.toBe(0);
  });
});

describe('the read-only part', () => {
  it('takes nothing, by whatever request', async () => {
    const file = await nodeOf(tools, 'tool.ts');
    const refused = [EROFS, EPERM, EACCES, EXDEV];
    const at = { node: tools, name: 'new' };
    for (const request of [
      { op: 'mkdir', ...at },
      { op: 'create', ...at },
      { op: 'symlink', ...at, target: 'x' },
      { op: 'unlink', node: tools, name: 'tool.ts' },
      { op: 'rename', node: tools, name: 'tool.ts', parent: workspace, target: 'stolen' },
      { op: 'link', node: workspace, name: 'hard', source: file },
      { op: 'open', node: file, flags: 2 },
    ])
      expect(refused, request.op).toContain((await ask(request)).error);
    expect(await readFile(join(folder, 'tools', 'tool.ts'), 'utf8')).toBe('read only');
  });
});

it.each([
  ['character', S_IFCHR | 0o666, 0x103],
  ['block', S_IFBLK | 0o666, 0x800],
])('no %s device can be made on the share', async (kind, mode, rdev) => {
  expect((await ask({ op: 'mknod', node: workspace, name: kind, mode, rdev })).error).toBe(EPERM);
  await expect(lstat(join(folder, 'ann', kind))).rejects.toMatchObject({ code: 'ENOENT' });
});

/** Every entry below the folder, except what the view itself holds. */
async function everything(): Promise<readonly string[]> {
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => !name.startsWith('guest')).sort();
}
