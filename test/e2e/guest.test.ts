import { readFile, symlink, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cell, openCell } from '../support/cell.ts';

const MARKER = 'WORKCELL_TEST_HOST_SECRET';
const SECRET = 'must-stay-on-the-host';

let cell: Cell;

beforeAll(async () => {
  process.env[MARKER] = SECRET;
  cell = await openCell();
});

afterAll(async () => {
  delete process.env[MARKER];
  await cell[Symbol.asyncDispose]();
});

/** The value that a program of `customer` returns; it must complete. */
async function resultOf(code: string, customer = 'ann'): Promise<unknown> {
  const { status, value, error, stderr } = await cell.workcell.customer(customer).execute({ code });
  expect({ status, error, stderr }).toEqual({ status: 'completed', error: null, stderr: '' });
  return value;
}

/** What a command in the guest says and how it ends. */
const shell = (command: string) => `
  const { status, stdout, stderr } = require('node:child_process').spawnSync('sh', ['-c', ${JSON.stringify(command)}]);
  return { status, stdout: String(stdout), stderr: String(stderr) };`;

const READ = (path: string) => `return require('node:fs').readFileSync(${JSON.stringify(path)}, 'utf8')`;

describe('a guest', () => {
  it('runs a kernel of its own', async () => {
    const guest = (await resultOf("return require('node:os').release()")) as string;
    expect(guest).toMatch(/^\d+\.\d+/);
    expect(guest).not.toBe(release());
  });

  it('has no network device but the loopback, and no route', async () => {
    const interfaces = (await resultOf("return require('node:fs').readdirSync('/sys/class/net')")) as string[];
    expect(interfaces).toEqual(['lo']);
    const routes = String(await resultOf(READ('/proc/net/route')))
      .trim()
      .split('\n');
    expect(routes).toHaveLength(1);
    expect(routes[0]).toMatch(/^Iface\s+Destination/);
  });

  it('has the clock of the host', async () => {
    const before = Date.now();
    const guest = Number(await resultOf('return Date.now()'));
    expect(guest).toBeGreaterThan(before - 2_000);
    expect(guest).toBeLessThan(Date.now() + 2_000);
  });

  it('knows nothing of the environment of the host', async () => {
    const environment = await resultOf('return process.env');
    expect(environment).toMatchObject({ HOME: '/root' });
    expect(JSON.stringify(environment)).not.toContain(SECRET);
    const { stdout } = (await resultOf(shell('cat /proc/*/environ'))) as { stdout: string };
    expect(stdout).toContain('HOME=/root');
    expect(stdout).not.toContain(SECRET);
  });
});

describe('the randomness of two restored copies', () => {
  it('differs, in every way that a program can ask for it', async () => {
    const draw = `
      const { randomBytes, randomUUID } = require('node:crypto');
      return [Math.random(), randomBytes(16).toString('hex'), randomUUID(), crypto.getRandomValues(new Uint32Array(4)).join()]
        .concat(require('node:fs').readFileSync('/proc/sys/kernel/random/uuid', 'utf8'));`;
    const [ann, bob] = (await Promise.all([resultOf(draw, 'ann'), resultOf(draw, 'bob')])) as unknown[][];
    expect(ann).toHaveLength(5);
    expect(new Set([...(ann ?? []), ...(bob ?? [])]).size).toBe(10);
  });
});

describe('the workspace', () => {
  it('is mounted through virtiofs, with its read-only parts', async () => {
    const mounts = String(await resultOf(READ('/proc/mounts')))
      .split('\n')
      .map((line) => line.split(' '));
    const options = Object.fromEntries(
      mounts
        .filter(([, , type]) => type === 'virtiofs')
        .map(([, target = '', , flags = '']) => [target, flags.split(',')]),
    );
    expect(options['/workspace']).toEqual(expect.arrayContaining(['rw', 'nodev', 'nosuid']));
    expect(options['/workspace/servers']).toContain('ro');
    expect(options['/workspace/sessions']).toContain('ro');
    expect(options['/workspace/skills']).toContain('rw');
  });

  it('shows the host what the guest writes, and the guest what the host writes', async () => {
    await resultOf("require('node:fs').writeFileSync('from-guest.txt', 'héllo')");
    expect(await readFile(cell.hostPath('ann', 'from-guest.txt'), 'utf8')).toBe('héllo');
    const { files } = await cell.workcell.customer('ann').workspace();
    await files.writeFile('from-host.txt', 'hällo');
    expect(await resultOf(READ('/workspace/from-host.txt'))).toBe('hällo');
  });

  it('is where also the first program of a new guest stands', async () => {
    const { sandbox, status } = await cell.workcell.customer('first').execute({
      code: "require('node:fs').writeFileSync('relative.txt', 'kept')",
    });
    expect({ boot: sandbox?.boot, status }).toEqual({ boot: 'restored', status: 'completed' });
    expect(await readFile(cell.hostPath('first', 'relative.txt'), 'utf8')).toBe('kept');
  });

  it.each([
    ['servers', () => join(cell.folder, 'servers/runtime.ts'), 'runtime.ts'],
    ['sessions', () => join(cell.folder, 'workspaces/ann/sessions/kept.jsonl'), 'kept.jsonl'],
  ])('does not let root of the guest write to %s/, also after a remount', async (mount, hostPath, name) => {
    await resultOf('return 1');
    if (mount === 'sessions') await writeFile(hostPath(), 'history');
    const before = await readFile(hostPath(), 'utf8');
    const target = `/workspace/${mount}`;
    const attempt = (await resultOf(`
      const fs = require('node:fs');
      const { status } = require('node:child_process').spawnSync('mount', ['-o', 'remount,bind,rw', '${target}']);
      const failed = (work) => { try { work(); return 'done'; } catch (error) { return error.code; } };
      return {
        status,
        write: failed(() => fs.writeFileSync('${target}/${name}', 'changed')),
        append: failed(() => fs.appendFileSync('${target}/${name}', 'changed')),
        create: failed(() => fs.writeFileSync('${target}/new', 'x')),
        remove: failed(() => fs.unlinkSync('${target}/${name}')),
        chmod: failed(() => fs.chmodSync('${target}/${name}', 0o777)),
        read: fs.readFileSync('${target}/${name}', 'utf8'),
      };`)) as Record<string, unknown>;
    const refused = Object.fromEntries(['write', 'append', 'create', 'remove', 'chmod'].map((key) => [key, 'EROFS']));
    // The remount itself succeeds: the guest's own flags are not what holds.
    expect(attempt).toEqual({ status: 0, ...refused, read: before });
    expect(await readFile(hostPath(), 'utf8')).toBe(before);
  });

  it('takes no device nodes', async () => {
    const { status, stderr } = (await resultOf(shell('mknod /workspace/disk b 8 0'))) as {
      status: number;
      stderr: string;
    };
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/not permitted/i);
  });

  it('has no link that the host follows', async () => {
    await resultOf(
      "require('node:fs').symlinkSync('/etc/hostname', 'link'); require('node:fs').symlinkSync('/etc', 'folder')",
    );
    const { files } = await cell.workcell.customer('ann').workspace();
    await expect(files.readFile('link', { maxBytes: 1000 })).rejects.toMatchObject({ code: 'invalid_state' });
    await expect(files.readFile('folder/hostname', { maxBytes: 1000 })).rejects.toMatchObject({
      code: 'invalid_state',
    });
    await expect(files.writeFile('folder/workcell-test', 'x')).rejects.toMatchObject({ code: 'invalid_state' });
  });

  it('shows a link of the host as what it is, so that it leads nowhere in the guest', async () => {
    const outside = join(cell.folder, 'outside.txt');
    await writeFile(outside, 'of the host');
    await symlink(outside, cell.hostPath('ann', 'out'));
    expect(await resultOf("return require('node:fs').existsSync('/workspace/out')")).toBe(false);
  });
});
