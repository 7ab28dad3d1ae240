// What outlives a server. A server that was killed is one that nobody closes; its guests are scripted and live on (adopting driver) or not.
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Page, SandboxResponse } from '../../../src/protocol/rest.ts';
import type { SandboxServerOptions } from '../../../src/sandbox/server.ts';
import { eventually } from '../../support/processes.ts';
import { openQuietServer, type QuietServer } from '../../support/quiet-server.ts';
import { sandboxSpec } from '../../support/sandbox-server.ts';
import { ScriptedDriver, type ScriptedGuest } from '../../support/scripted-driver.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
let state: string;
let servers: QuietServer[];

beforeEach(async () => {
  folder = await tempFolder();
  state = join(folder.path, 'state');
  servers = [];
});

afterEach(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const open = async (driver: ScriptedDriver, options: Partial<SandboxServerOptions> = {}) => {
  const server = await openQuietServer({ driver, state, ...options });
  servers.push(server);
  return server;
};

/** The files of a server that was killed now: everything but its lock, which dies with a process. */
const killed = async () => {
  const copy = join(folder.path, 'after-kill');
  await mkdir(join(copy, 'sandboxes'), { recursive: true });
  for (const name of ['events.jsonl', 'runs.jsonl'])
    await writeFile(join(copy, name), await readFile(join(state, name), 'utf8').catch(() => ''));
  for (const name of await readdir(join(state, 'sandboxes')))
    await writeFile(join(copy, 'sandboxes', name), await readFile(join(state, 'sandboxes', name)));
  state = copy;
};

const create = async (server: QuietServer, name: string, spec: object = {}, query = '?start=true&wait_for=running') =>
  (await server.call('POST', `/v1/sandboxes${query}`, { body: { ...sandboxSpec(name), ...spec } }))
    .body as SandboxResponse;
const list = async (server: QuietServer) =>
  ((await server.call('GET', '/v1/sandboxes')).body as Page<SandboxResponse>).data;
const saved = (id: string, text: string) =>
  eventually(async () => (await readFile(join(state, 'sandboxes', `${id}.json`), 'utf8')).includes(text));

it('sandboxes of a server that was closed are there again, stopped, and start with what they were asked for', async () => {
  const first = await open(new ScriptedDriver());
  const runs = await create(first, 'runs', { env: [{ key: 'A', value: 'b' }], labels: { team: 'x' } });
  const never = await create(first, 'never', {}, '');
  await create(first, 'gone', { lifecycle: { ephemeral: true } });
  await first[Symbol.asyncDispose]();
  const driver = new ScriptedDriver();
  const second = await open(driver);
  expect((await list(second)).map(({ id, name, slug, status }) => ({ id, name, slug, status }))).toEqual([
    { id: runs.id, name: 'runs', slug: runs.slug, status: 'stopped' },
    { id: never.id, name: 'never', slug: never.slug, status: 'created' },
  ]);
  await second.call('POST', `/v1/sandboxes/${runs.id}/start?wait_for=running`);
  expect(driver.specs).toMatchObject([{ id: runs.id, env: ['A=b'] }]);
  const later = await create(second, 'later');
  expect((await list(second)).at(-1)?.id).toBe(later.id);
  const { data } = (await second.call('GET', '/v1/events?limit=100')).body as Page<{ event_type: string }>;
  expect(data.filter(({ event_type }) => event_type === 'sandbox_created')).toHaveLength(4);
});

it('guests that the driver can adopt run on when a server was killed, under their limits of time', async () => {
  const world = new Map<string, ScriptedGuest>();
  const first = await open(new ScriptedDriver({ adopts: true, world }));
  const keeps = await create(first, 'keeps');
  const brief = await create(first, 'brief', { lifecycle: { max_duration_secs: 3600 } });
  const idle = await create(first, 'idle', { lifecycle: { idle_timeout_secs: 3600, ephemeral: true } });
  const dead = await create(first, 'dead');
  for (const { id } of [keeps, brief, idle, dead]) await saved(id, '"running"');
  await killed();
  world.delete(dead.id);
  const longAgo = new Date(Date.now() - 7_200_000).toISOString();
  await backdate(brief.id, { startedAt: longAgo });
  await backdate(idle.id, { activeAt: longAgo });
  const second = await open(new ScriptedDriver({ adopts: true, world }));
  const of = async (id: string) => (await second.call('GET', `/v1/sandboxes/${id}`)).body as SandboxResponse;
  expect(await of(keeps.id)).toMatchObject({ status: 'running', started_at: keeps.started_at });
  expect(await of(dead.id)).toMatchObject({
    status: 'failed',
    last_failure_message: expect.stringContaining('was gone when the server came back'),
  });
  await eventually(async () => (await of(brief.id)).status === 'stopped');
  await eventually(async () => (await list(second)).every((sandbox) => sandbox.id !== idle.id));
  await eventually(() => world.size === 1);
  expect([...world.keys()]).toEqual([keeps.id]);
});

it('a guest that was not ready when its server was killed is ended, not adopted', async () => {
  const world = new Map<string, ScriptedGuest>();
  const first = await open(new ScriptedDriver({ adopts: true, world }));
  const { id } = await create(first, 'half');
  await saved(id, '"running"');
  await killed();
  await backdate(id, { status: 'starting' });
  const second = await open(new ScriptedDriver({ adopts: true, world }));
  expect(await list(second)).toMatchObject([
    { id, status: 'failed', last_failure_message: expect.stringContaining('while the sandbox started') },
  ]);
  expect(world.size).toBe(0);
});

it('without adoption a sandbox that ran when its server was killed has failed, and says why', async () => {
  const first = await open(new ScriptedDriver());
  const { id } = await create(first, 'lost');
  const gone = await create(first, 'one-off', { lifecycle: { ephemeral: true } });
  for (const each of [id, gone.id]) await saved(each, '"running"');
  await killed();
  const second = await open(new ScriptedDriver());
  expect(await list(second)).toMatchObject([
    { id, status: 'failed', last_failure_message: expect.stringContaining('The server has ended') },
  ]);
  expect((await second.call('POST', `/v1/sandboxes/${id}/start?wait_for=running`)).body).toMatchObject({
    status: 'running',
  });
});

it('a state folder has one server at a time, and is readable by its owner only', async () => {
  const first = await open(new ScriptedDriver());
  const { id } = await create(first, 'private');
  await expect(open(new ScriptedDriver())).rejects.toMatchObject({ code: 'busy' });
  expect((await stat(join(state, 'sandboxes', `${id}.json`))).mode & 0o077).toBe(0);
  expect((await stat(state)).mode & 0o077).toBe(0);
});

it('a state folder cannot be mounted, and a damaged file of it is named', async () => {
  const first = await open(new ScriptedDriver(), { bindRoots: [folder.path] });
  const mounts = [{ type: 'bind', host: state, guest: '/state' }];
  expect((await first.call('POST', '/v1/sandboxes', { body: { ...sandboxSpec('x'), mounts } })).status).toBe(400);
  const { id } = await create(first, 'broken', {}, '');
  await first[Symbol.asyncDispose]();
  await writeFile(join(state, 'sandboxes', `${id}.json`), '{');
  const refusal = (name: string) => ({ code: 'storage_failed', message: expect.stringContaining(name) });
  await expect(open(new ScriptedDriver())).rejects.toMatchObject(refusal(`sandboxes/${id}.json`));
  await writeFile(join(state, 'events.jsonl'), '{"seq":"one"}\n');
  await expect(open(new ScriptedDriver())).rejects.toMatchObject(refusal('events.jsonl'));
});

it('a line of an event that was not written to its end is dropped', async () => {
  const first = await open(new ScriptedDriver());
  await create(first, 'one', {}, '');
  await first[Symbol.asyncDispose]();
  const path = join(state, 'events.jsonl');
  await writeFile(path, `${await readFile(path, 'utf8')}{"seq":2,"id"`);
  const second = await open(new ScriptedDriver());
  await create(second, 'two', {}, '');
  const { data } = (await second.call('GET', '/v1/events')).body as Page<{ payload: { name: string } }>;
  expect(data.map(({ payload }) => payload.name)).toEqual(['two', 'one']);
});

const backdate = async (id: string, change: object) => {
  const path = join(state, 'sandboxes', `${id}.json`);
  await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), ...change }));
};

it('the value of a secret is in memory only: the guest gets it, no file has it, and the next server asks for it', async () => {
  const driver = new ScriptedDriver();
  const secret = {
    env_var: 'TOKEN',
    value: 'value-of-the-secret',
    placeholder: '$MSB_TOKEN',
    allowed_hosts: [{ type: 'exact', value: 'api.example.com' }],
  };
  const first = await open(driver);
  const { id, status } = await create(first, 'one', { network: { secrets: { entries: [secret] } } });
  expect(status).toBe('running');
  expect(driver.specs[0]?.secrets?.entries[0]?.value.reveal()).toBe(secret.value);
  await first.call('POST', `/v1/sandboxes/${id}/stop`);
  const again = await first.call('POST', `/v1/sandboxes/${id}/start?wait_for=running`);
  expect(again.body).toMatchObject({ status: 'running' });
  await first[Symbol.asyncDispose]();
  for (const name of await readdir(state, { recursive: true, withFileTypes: true }))
    if (name.isFile()) expect(await readFile(join(name.parentPath, name.name), 'utf8')).not.toContain(secret.value);
  const second = await open(new ScriptedDriver());
  const { body } = await second.call('POST', `/v1/sandboxes/${id}/start?wait_for=running`);
  expect(body).toMatchObject({ status: 'failed', last_failure_message: expect.stringContaining('"TOKEN"') });
});
