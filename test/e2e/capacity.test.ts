import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { DEFAULT_ORGANISATION } from '../../src/core/principal.ts';
import type { VolumeResponse } from '../../src/protocol/rest.ts';
import { reapCapacityMounts } from '../../src/util/capacity-image.ts';
import { findMount, listLoopDevices } from '../../src/util/mount-table.ts';
import { createWorkcell } from '../../src/workcell/workcell.ts';
import { AgentClient } from '../support/agent-client.ts';
import { type Cell, openCell } from '../support/cell.ts';
import { writeConfig } from '../support/cell-config.ts';
import { eventually } from '../support/processes.ts';
import { API_KEY, openServer, type TestServer } from '../support/sandbox-server.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const HOLDER = fileURLToPath(new URL('../support/cell-holder.ts', import.meta.url));
const MIB = 1024 ** 2;
const isRoot = process.geteuid?.() === 0;

describe.skipIf(!isRoot)('a volume with a capacity, in a guest (only root can mount one)', () => {
  let server: TestServer;
  let volume: VolumeResponse;
  let client: AgentClient;
  let data: string;

  beforeAll(async () => {
    server = await openServer();
    const { body } = await server.call('POST', '/v1/volumes', { body: { name: 'capped', capacity_gib: 1 } });
    volume = body as VolumeResponse;
    data = join(server.folder, 'volumes', DEFAULT_ORGANISATION.id, 'capped/data');
    const { id } = await server.start('guest', { mounts: [{ type: 'named', name: 'capped', guest: '/data' }] });
    client = await AgentClient.open(server, id);
  });

  afterAll(async () => {
    client?.socket.terminate();
    await server?.[Symbol.asyncDispose]();
  });

  const shell = (text: string) => client.exec({ cmd: 'sh', args: ['-c', text], cwd: '/data' });

  async function files(method: 'GET' | 'PUT' | 'DELETE', path: string, suffix = '', body?: string) {
    const response = await request(`${server.url}/v1/volumes/${volume.id}/files${suffix}`, {
      method,
      headers: {
        authorization: `Bearer ${API_KEY}`,
        'x-msb-file-path': Buffer.from(path).toString('base64url'),
        'x-msb-file-recursive': 'true',
      },
      body: body ?? null,
    });
    return { status: response.statusCode, text: await response.body.text() };
  }

  it('takes what fits, to the last block, and not a byte more', async () => {
    const { bavail, bsize } = await statfs(data);
    const fits = bavail * bsize - 16 * MIB;
    expect(await shell(`fallocate -l ${fits} below && echo fits`)).toMatchObject({ stdout: 'fits\n' });
    const rest = (await statfs(data)).bavail * bsize;
    expect(await shell(`head -c ${rest} /dev/zero > at && echo fits`)).toMatchObject({ stdout: 'fits\n' });
    expect((await statfs(data)).bavail).toBe(0);
    expect(await shell('head -c 1 /dev/zero > above')).toMatchObject({
      stderr: expect.stringMatching(/No space left/),
    });
    expect((await files('PUT', 'from-host', '/content', 'x')).status).toBe(507);
    expect(await shell('rm below at above; echo x > after && cat after')).toMatchObject({ stdout: 'x\n' });
    expect((await files('GET', 'after', '/content')).text).toBe('x\n');
  });

  it('takes as many files as it has room for', async () => {
    const { ffree } = await statfs(data);
    const many = join(data, 'many');
    await mkdir(many);
    execFileSync('sh', ['-c', `seq 1 ${ffree - 11} | xargs touch`], { cwd: many });
    const { stdout } = await shell('cd many; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do touch of-guest-$i 2>&1; done');
    expect(stdout.match(/No space left/g)).toHaveLength(2);
    expect((await statfs(data)).ffree).toBe(0);
    expect((await files('PUT', 'one-more', '/content', 'x')).status).toBe(507);
    expect((await files('DELETE', 'many')).status).toBe(204);
    // What the guest has made stays in its cache, and so on the disk, until it looks again.
    expect((await statfs(data)).ffree).toBeGreaterThanOrEqual(ffree - 11);
  });

  it('lets the guest lay no trap for the host', async () => {
    await shell(
      'ln -s /etc link; ln -s ../volume.json record; mkfifo pipe; printf x > "$(printf \'a\\nb\')"; ' +
        'printf x > "$(printf \'\\377\')"; mknod device c 1 5; ' +
        "mkdir -p $(printf 'd/%.0s' $(seq 200))",
    );
    const { text } = await files('GET', '/');
    const paths = (JSON.parse(text) as { entries: { path: string }[] }).entries.map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(['/a\nb', '/d', '/\ufffd']));
    for (const path of ['link/passwd', 'record', 'pipe']) {
      expect(await files('GET', path, '/content')).toMatchObject({ status: 409 });
    }
    expect((await files('PUT', 'record', '/content', 'mine')).status).toBe(204);
    expect(JSON.parse(await readFile(join(data, '../volume.json'), 'utf8'))).toMatchObject({ id: volume.id });
    expect((await files('DELETE', 'd')).status).toBe(204);
    expect(await readdir(data)).not.toContain('d');
  });
});

describe.skipIf(!isRoot)("a customer's workspace with a capacity (only root can mount one)", () => {
  const workspace = { capacity: '64M', inodes: 200 };

  it('bounds programs in bytes and files, and is unmounted with the cell', async () => {
    const cell: Cell = await openCell({ workspace });
    onTestFinished(() => cell[Symbol.asyncDispose]());
    const ann = cell.workcell.customer('ann');
    const { value } = await ann.execute({
      code: `
        import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
        const says = (work) => { try { work(); return 'ok'; } catch (error) { return error.code; } };
        mkdirSync('state');
        writeFileSync('state/kept', 'kept');
        const { bavail, bsize } = statfsSync('.');
        const below = says(() => writeFileSync('below', Buffer.alloc(bavail * bsize - 4 * 1024 ** 2)));
        const above = says(() => writeFileSync('above', Buffer.alloc(8 * 1024 ** 2)));
        const skills = says(() => writeFileSync('skills/above', Buffer.alloc(8 * 1024 ** 2)));
        for (const name of ['below', 'above', 'skills/above']) rmSync(name, { force: true });
        let files = 0;
        while (says(() => writeFileSync('file-' + files, '')) === 'ok') files++;
        const folder = says(() => mkdirSync('more'));
        for (let index = 0; index < files; index++) rmSync('file-' + index);
        return { below, above, skills, folder, files };`,
    });
    expect(value).toMatchObject({ below: 'ok', above: 'ENOSPC', skills: 'ENOSPC', folder: 'ENOSPC' });
    expect((value as { files: number }).files).toBeGreaterThan(180);
    expect((value as { files: number }).files).toBeLessThan(230);
    const { files } = await ann.workspace();
    expect(String(await files.readFile('state/kept', { maxBytes: 10 }))).toBe('kept');
    const disk = join(cell.folder, 'workspaces/ann/disk');
    expect(await findMount(disk)).toBeDefined();
    await cell.workcell.close();
    expect(await findMount(disk)).toBeUndefined();
    // The kernel takes a guest's mount namespace down some time after its last process.
    await eventually(async () => (await listLoopDevices()).every(({ file }) => !file.startsWith(cell.folder)));
  });

  it('is found again after the cell was killed while a program ran', async () => {
    const folder: TempFolder = await tempFolder();
    onTestFinished(async () => {
      await reapCapacityMounts(folder.path);
      await folder[Symbol.asyncDispose]();
    });
    const config = await writeConfig(folder.path, { workspace });
    const holder = spawn(process.execPath, [HOLDER, config], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void holder.kill('SIGKILL'));
    await once(holder.stdout, 'data');
    const disk = join(folder.path, 'workspaces/ann/disk');
    await writeFile(join(disk, 'files/kept'), 'kept');
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    expect(await findMount(disk)).toBeDefined();
    await using workcell = await createWorkcell({ config });
    const { files } = await workcell.customer('ann').workspace();
    expect(String(await files.readFile('kept', { maxBytes: 10 }))).toBe('kept');
    expect((await listLoopDevices()).filter(({ file }) => file.startsWith(folder.path))).toHaveLength(1);
  });

  it('is refused, with what to do, for files in a plain folder and for a smaller capacity', async () => {
    const folder: TempFolder = await tempFolder();
    onTestFinished(async () => {
      await reapCapacityMounts(folder.path);
      await folder[Symbol.asyncDispose]();
    });
    const config = await writeConfig(folder.path, { workspace });
    await mkdir(join(folder.path, 'workspaces/bob/files'), { recursive: true });
    await writeFile(join(folder.path, 'workspaces/bob/files/old'), 'kept');
    const text = await readFile(config, 'utf8');
    await using workcell = await createWorkcell({ config });
    await expect(workcell.customer('bob').workspace()).rejects.toMatchObject({
      code: 'invalid_state',
      message: expect.stringMatching(/plain folders.*move what is in its "files" and "skills" away/),
    });
    expect(await readdir(join(folder.path, 'workspaces/bob/files'))).toEqual(['old']);
    await workcell.customer('ann').workspace();
    await workcell.close();

    await writeFile(config, text.replace('64M', '32M'));
    await using smaller = await createWorkcell({ config });
    await expect(smaller.customer('ann').workspace()).rejects.toMatchObject({
      code: 'invalid_state',
      message: expect.stringMatching(/set "workspace.capacity" to 64 MiB or more instead of 32 MiB/),
    });
    await smaller.close();

    await writeFile(config, text.replace('64M', '96M'));
    await using larger = await createWorkcell({ config });
    const { filesPath } = await larger.customer('ann').workspace();
    const { blocks, bsize } = await statfs(filesPath);
    expect(blocks * bsize).toBeGreaterThan(80 * MIB);
  });

  it('is refused for a number of files alone', async () => {
    const folder: TempFolder = await tempFolder();
    onTestFinished(() => folder[Symbol.asyncDispose]());
    const config = await writeConfig(folder.path, { workspace: { inodes: 100 } });
    await expect(createWorkcell({ config })).rejects.toMatchObject({
      code: 'invalid_config',
      message: expect.stringMatching(/workspace.capacity/),
    });
  });
});
