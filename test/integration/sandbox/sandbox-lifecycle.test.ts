// Races and deadlines of the server alone: the guests are scripted (test/support/scripted-driver.ts), everything else is real.
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Page, SandboxResponse } from '../../../src/protocol/rest.ts';
import type { Deadline } from '../../../src/util/deadline.ts';
import { eventually } from '../../support/processes.ts';
import { openQuietServer, type QuietServer } from '../../support/quiet-server.ts';
import { type Answer, sandboxSpec } from '../../support/sandbox-server.ts';
import { ScriptedDriver } from '../../support/scripted-driver.ts';

let driver: ScriptedDriver;
let server: QuietServer;

const open = async (options: Parameters<typeof openQuietServer>[0] = {}) => {
  driver = new ScriptedDriver();
  server = await openQuietServer({ driver, ...options });
};

beforeEach(() => open());
afterEach(() => server[Symbol.asyncDispose]());

const create = (name: string, query = '', spec: object = {}, key?: string) =>
  server.call('POST', `/v1/sandboxes${query}`, { body: { ...sandboxSpec(name), ...spec }, ...(key ? { key } : {}) });
const RUN = '?start=true&wait_for=running';
const get = async (id: string) => (await server.call('GET', `/v1/sandboxes/${id}`)).body as SandboxResponse;
const code = ({ status, body }: Answer) => [status, (body as { error?: { code: string } }).error?.code];
const gate = () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  driver.gate = promise;
  return resolve;
};

it('a wait that ends before the sandbox runs is answered with `starting`, and the start goes on', async () => {
  const letBoot = gate();
  const { status, body } = await create('slow', `${RUN}&wait_timeout=0`);
  expect([status, body]).toEqual([200, expect.objectContaining({ status: 'starting', status_reason: 'scheduling' })]);
  letBoot();
  const { id } = body as SandboxResponse;
  await eventually(async () => (await get(id)).status === 'running');
  expect(await get(id)).toMatchObject({ status_reason: null, started_at: expect.any(String) });
});

it('wait_timeout without wait_for, and wait_for without a start, are refused and create nothing', async () => {
  expect(code(await create('x', '?start=true&wait_timeout=1'))).toEqual([400, 'invalid_request']);
  expect(code(await create('x', '?wait_for=running'))).toEqual([400, 'invalid_request']);
  expect((await server.call('GET', '/v1/sandboxes')).body).toMatchObject({ data: [] });
});

it('a sandbox can be deleted while it starts; its name is free at once, and a guest that comes late is ended', async () => {
  const letBoot = gate();
  const { id } = (await create('again', '?start=true')).body as SandboxResponse;
  expect((await server.call('DELETE', `/v1/sandboxes/${id}`)).status).toBe(200);
  expect(code(await server.call('DELETE', `/v1/sandboxes/${id}`))).toEqual([404, 'sandbox_not_found']);
  driver.gate = Promise.resolve();
  const second = (await create('again', RUN)).body as SandboxResponse;
  expect(second).toMatchObject({ status: 'running' });
  letBoot();
  await eventually(() => driver.stopped.includes(id));
  expect([...driver.world.keys()]).toEqual([second.id]);
});

it('a sandbox that was stopped while it started starts again, whatever becomes of the first start', async () => {
  const letBoot = gate();
  const { id } = (await create('restarted', '?start=true')).body as SandboxResponse;
  await eventually(() => driver.specs.length === 1);
  expect((await server.call('POST', `/v1/sandboxes/${id}/stop`)).body).toMatchObject({ status: 'stopped' });
  driver.gate = Promise.resolve();
  await server.call('POST', `/v1/sandboxes/${id}/start?wait_for=running`);
  letBoot();
  await eventually(() => driver.stopped.length === 1);
  expect(await get(id)).toMatchObject({ status: 'running', last_failure_message: null });
});

it('two that delete at once both succeed', async () => {
  const id = await server.start('twice');
  const { promise, resolve } = Promise.withResolvers<void>();
  driver.stopGate = promise;
  const deleting = [1, 2].map(() => server.call('DELETE', `/v1/sandboxes/${id}`));
  await eventually(async () => (await get(id)).status === 'stopping');
  await server.call('GET', '/v1/sandboxes');
  resolve();
  const answers = await Promise.all(deleting);
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
});

it('50 created at once all run, and leave no guest when they are deleted', async () => {
  const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => create(`many-${n}`, RUN)));
  expect(answers.map(({ body }) => (body as SandboxResponse).status)).toEqual(Array(50).fill('running'));
  expect(new Set(answers.map(({ body }) => (body as SandboxResponse).slug)).size).toBe(50);
  expect(driver.world.size).toBe(50);
  await Promise.all(answers.map(({ body }) => server.call('DELETE', `/v1/sandboxes/${(body as SandboxResponse).id}`)));
  expect(driver.world.size).toBe(0);
});

it('a guest that dies fails its sandbox, which can be started again', async () => {
  const id = await server.start('mortal');
  driver.world.get(id)?.die('the test has killed it');
  await eventually(async () => (await get(id)).status === 'failed');
  expect(await get(id)).toMatchObject({
    last_failure_message: expect.stringContaining('the test has killed it'),
    stopped_at: expect.any(String),
  });
  const again = await server.call('POST', `/v1/sandboxes/${id}/start${RUN.replace('start=true&', '')}`);
  expect(again.body).toMatchObject({ status: 'running', last_failure_message: null, stopped_at: null });
});

it('a guest that cannot be ended fails the stop after its time, and never holds up a listing', async () => {
  const id = await server.start('deaf');
  driver.stopGate = new Promise(() => {});
  const stopping = server.call('POST', `/v1/sandboxes/${id}/stop`);
  await eventually(async () => (await get(id)).status === 'stopping');
  expect((await server.call('GET', '/v1/sandboxes')).body).toMatchObject({ data: [{ status: 'stopping' }] });
  expect(code(await stopping)).toEqual([502, 'orchestrator_unreachable']);
  expect(await get(id)).toMatchObject({
    status: 'failed',
    last_failure_message: expect.stringContaining('did not end'),
  });
  driver.stopGate = Promise.resolve();
});

it('a cursor holds when the sandbox that it was made for is gone', async () => {
  for (const n of [1, 2, 3, 4]) await create(`c-${n}`);
  const list = async (query: string) =>
    (await server.call('GET', `/v1/sandboxes?limit=2${query}`)).body as Page<SandboxResponse>;
  const first = await list('');
  for (const { id } of first.data) await server.call('DELETE', `/v1/sandboxes/${id}`);
  const second = await list(`&cursor=${first.next_cursor}`);
  expect(second.data.map(({ name }) => name)).toEqual(['c-3', 'c-4']);
  expect(second).toMatchObject({ has_more: false, next_cursor: null });
  for (const bad of ['gone', 'eyJ2IjoyfQ', encodeURIComponent('{"v":1,"after":1}')])
    expect(code(await server.call('GET', `/v1/sandboxes?cursor=${bad}`))).toEqual([400, 'invalid_request']);
});

it('a sandbox is renamed, and its name and slug are nobody else’s', async () => {
  const { id } = (await create('before', '', { slug: 'my-slug' })).body as SandboxResponse;
  await create('other', '', { slug: 'other-slug' });
  const patch = (body: object) => server.call('PATCH', `/v1/sandboxes/${id}`, { body });
  expect((await patch({ name: 'after' })).body).toMatchObject({ name: 'after', slug: 'my-slug' });
  expect((await patch({ slug: 'new-slug' })).body).toMatchObject({ name: 'after', slug: 'new-slug' });
  expect(code(await patch({ name: 'other' }))).toEqual([409, 'name_already_exists']);
  expect(code(await patch({ slug: 'other-slug' }))).toEqual([409, 'name_already_exists']);
  for (const body of [{ name: '../x' }, { slug: 'Not-A-Slug' }, { slug: 'ab' }, { slug: 'a--b' }])
    expect(code(await patch(body))).toEqual([400, 'invalid_request']);
  expect((await server.call('GET', '/v1/sandboxes/by-name/before')).status).toBe(404);
  expect((await server.call('GET', '/v1/sandboxes/by-name/after')).body).toMatchObject({ id, slug: 'new-slug' });
  expect(code(await create('third', '', { slug: 'new-slug' }))).toEqual([409, 'name_already_exists']);
});

it('a name may have 128 characters, and not one more', async () => {
  const longest = 'n'.repeat(128);
  expect((await create(longest)).status).toBe(200);
  expect((await server.call('GET', `/v1/sandboxes/by-name/${longest}`)).status).toBe(200);
  expect((await server.call('POST', `/v1/sandboxes/by-name/${longest}/start`)).status).toBe(200);
  expect(code(await create(`${longest}n`))).toEqual([400, 'invalid_request']);
});

it('the driver is given the user, the limits, the image and the PATH of scripts as they were asked for', async () => {
  await server[Symbol.asyncDispose]();
  await open({ images: { 'python:3.12': '/srv/python', plain: 'host' } });
  const limits = [{ resource: 'nofile', soft: 10, hard: 20 }];
  const runtime = { user: 'nobody:nogroup', workdir: '/w' };
  await create('a', RUN, { image: { type: 'oci', reference: 'python:3.12' }, rlimits: limits, runtime });
  await create('b', RUN, { image: { type: 'oci', reference: 'plain' } });
  expect(driver.specs).toMatchObject([
    { image: { kind: 'directory', path: '/srv/python' }, user: 'nobody:nogroup', rlimits: limits, workdir: '/w' },
    { image: { kind: 'host' } },
  ]);
  const unknown = await create('c', '', { image: { type: 'oci', reference: 'alpine' } });
  expect(unknown).toMatchObject({
    status: 400,
    body: { error: { message: expect.stringMatching(/"alpine".*"host", "python:3\.12", "plain".*sandbox\.images/) } },
  });
});

it('what a stock client reads as a configuration holds the image where it looks for it', async () => {
  const { id } = (await create('shown')).body as SandboxResponse;
  expect((await get(id)).spec).toMatchObject({ image: 'host', resources: { vcpus: 1, memory_mib: 512 } });
  const response = await fetch(`${server.url}/v1/sandboxes/${id}`, {
    headers: { authorization: 'Bearer msb_of-the-test', 'user-agent': 'microsandbox-sdk/0.6.18' },
  });
  expect(((await response.json()) as SandboxResponse).spec).toMatchObject({
    image: { Oci: { reference: 'host' } },
    resources: { cpus: 1, memory_mib: 512 },
  });
});

it('starts wait for memory, say so, and get what the one before gives back', async () => {
  const held: number[] = [];
  const waiting: (() => void)[] = [];
  const budget = {
    async reserve(mib: number, deadline: Deadline) {
      if (held.length > 0) await deadline.race(new Promise<void>((resolve) => waiting.push(resolve)));
      held.push(mib);
      return () => {
        held.pop();
        waiting.shift()?.();
      };
    },
  };
  await server[Symbol.asyncDispose]();
  await open({ budget, queueTimeoutMs: 10_000 });
  const first = (await create('first', RUN)).body as SandboxResponse;
  const second = (await create('second', '?start=true')).body as SandboxResponse;
  await eventually(async () => (await get(second.id)).status_reason === 'insufficient_capacity');
  expect(driver.specs).toHaveLength(1);
  await server.call('DELETE', `/v1/sandboxes/${first.id}`);
  await eventually(async () => (await get(second.id)).status === 'running');
  await server.call('DELETE', `/v1/sandboxes/${second.id}`);
  expect(held).toEqual([]);
});

it('a start that gets no memory in time fails and says that it waited for memory', async () => {
  const budget = {
    reserve: (_mib: number, deadline: Deadline) => deadline.race(new Promise<() => void>(() => {})),
  };
  await server[Symbol.asyncDispose]();
  await open({ budget, queueTimeoutMs: 50 });
  expect((await create('hungry', RUN)).body).toMatchObject({
    status: 'failed',
    last_failure_message: expect.stringMatching(/Waiting for memory.*took longer than 0\.1 s/),
  });
});

it('a start that finds a volume gone gives its memory and its other volumes back', async () => {
  let held = 0;
  const budget = {
    async reserve(mib: number) {
      held += mib;
      return () => {
        held -= mib;
      };
    },
  };
  await server[Symbol.asyncDispose]();
  await open({ budget });
  const volume = async (name: string) =>
    ((await server.call('POST', '/v1/volumes', { body: { name } })).body as { id: string }).id;
  const [there, gone] = [await volume('there'), await volume('gone')];
  const mounts = ['there', 'gone'].map((name) => ({ type: 'named', name, guest: `/${name}` }));
  const { id } = (await create('late', '', { mounts })).body as SandboxResponse;
  expect((await server.call('DELETE', `/v1/volumes/${gone}`)).status).toBe(200);
  await server.call('POST', `/v1/sandboxes/${id}/start`);
  await eventually(async () => (await get(id)).status === 'failed');
  expect(held).toBe(0);
  expect((await server.call('DELETE', `/v1/volumes/${there}`)).status).toBe(200);
});

it('a key’s sandboxes are counted from their creation to their end, also when many ask at once', async () => {
  const { secret } = await server.store.create({ name: 'three', role: 'organisation', org: 'acme', maxSandboxes: 3 });
  const key = secret.reveal();
  const answers = await Promise.all([1, 2, 3, 4, 5].map((n) => create(`q-${n}`, '?start=true', {}, key)));
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 429, 429]);
  expect(code(answers.find(({ status }) => status === 429) as Answer)).toEqual([429, 'rate_limited']);
  const [id = ''] = answers.flatMap(({ status, body }) => (status === 200 ? [(body as SandboxResponse).id] : []));
  await eventually(async () => (await get(id)).status === 'running');
  await server.call('POST', `/v1/sandboxes/${id}/stop`, { key });
  expect((await create('room', '', {}, key)).status).toBe(200);
  expect(code(await server.call('POST', `/v1/sandboxes/${id}/start`, { key }))).toEqual([429, 'rate_limited']);
  expect((await server.call('GET', '/v1/quotas', { key })).body).toMatchObject({
    max_sandboxes: 3,
    total_sandboxes: 4,
  });
});

it('an organisation may keep so many sandboxes in all states, and others have room of their own', async () => {
  await server[Symbol.asyncDispose]();
  await open({ maxSandboxes: 2 });
  const { secret } = await server.store.create({ name: 'k', role: 'organisation', org: 'acme' });
  await server.call('POST', `/v1/sandboxes/${await server.start('one')}/stop`);
  expect((await create('two')).status).toBe(200);
  expect(code(await create('three'))).toEqual([429, 'rate_limited']);
  expect((await create('three', '', {}, secret.reveal())).status).toBe(200);
  await server.call('DELETE', '/v1/sandboxes/by-name/two');
  expect((await create('three')).status).toBe(200);
});

it('1000 requests may wait for sandboxes; the next is told so and creates nothing', async () => {
  const letBoot = gate();
  const waiting = Array.from({ length: 1000 }, (_, n) => create(`wait-${n}`, RUN));
  await eventually(() => driver.specs.length === 1000);
  expect(code(await create('one-more', RUN))).toEqual([429, 'rate_limited']);
  expect((await server.call('GET', '/v1/sandboxes/by-name/one-more')).status).toBe(404);
  expect((await create('one-more', '?start=true')).body).toMatchObject({ status: 'starting' });
  letBoot();
  expect((await Promise.all(waiting)).every(({ status }) => status === 200)).toBe(true);
});

it('another organisation’s sandbox does not exist', async () => {
  const [a, b] = await Promise.all(
    ['acme', 'rival'].map(async (org) =>
      (await server.store.create({ name: org, role: 'organisation', org })).secret.reveal(),
    ),
  );
  const { id } = (await create('mine', RUN, {}, a)).body as SandboxResponse;
  expect((await create('mine', '', {}, b)).status).toBe(200);
  const absent = await server.call('GET', '/v1/sandboxes/00000000-0000-4000-8000-00000000dead', { key: b as string });
  for (const [method, path] of [
    ['GET', ''],
    ['PATCH', ''],
    ['POST', '/start'],
    ['POST', '/stop'],
    ['GET', '/logs'],
    ['GET', '/agent'],
    ['DELETE', ''],
  ] as const) {
    const body = method === 'PATCH' ? { name: 'stolen' } : undefined;
    const options = { key: b as string, ...(body === undefined ? {} : { body }) };
    const answer = await server.call(method, `/v1/sandboxes/${id}${path}`, options);
    expect([path, answer.status]).toEqual([path, 404]);
    if (path !== '/agent') expect(answer).toEqual(absent);
  }
  expect((await server.call('GET', '/v1/sandboxes', { key: b as string })).body).toMatchObject({
    data: [{ name: 'mine', org_id: expect.not.stringMatching((await get(id)).org_id) }],
  });
  expect((await get(id)).name).toBe('mine');
});

it('only an administrator may mount folders of the host', async () => {
  const { secret } = await server.store.create({ name: 'no', role: 'organisation', org: 'acme' });
  const mounts = [{ type: 'bind', host: server.folder, guest: '/x' }];
  expect(code(await create('bind', '', { mounts }, secret.reveal()))).toEqual([403, 'forbidden']);
});
