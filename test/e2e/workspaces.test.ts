import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createWorkcell, type Workcell } from '../../src/workcell/workcell.ts';
import { type ApiServer, openApiServer } from '../support/api-server.ts';
import { cli } from '../support/cli.ts';
import { eventually } from '../support/processes.ts';

let api: ApiServer;

beforeAll(async () => {
  api = await openApiServer({ workspace: { shared: 'true', lease: '10s' } });
});
afterAll(async () => api[Symbol.asyncDispose]());

const run = (code: string, signal?: AbortSignal) => api.cell.customer('ann').execute({ code, signal });
const WRITE = (text: string) => `await (await import('node:fs/promises')).writeFile('/workspace/f', '${text}');`;

it('a snapshot brings back what programs had written, for the programs that come', async () => {
  expect(await run(WRITE('one'))).toMatchObject({ status: 'completed' });
  const { status, body } = await api.call('POST', '/customers/ann/snapshots', { body: { name: 'first' } });
  expect([status, body]).toMatchObject([201, { name: 'first', files: 1 }]);
  const { id } = body as { id: string };
  expect(await run(WRITE('two'))).toMatchObject({ status: 'completed' });
  expect(await api.call('POST', `/customers/ann/snapshots/${id}/restore`)).toMatchObject({ status: 200 });
  const read = await run("return await (await import('node:fs/promises')).readFile('/workspace/f', 'utf8');");
  expect(read).toMatchObject({ status: 'completed', value: 'one' });
  expect((await api.call('GET', '/customers/ann/snapshots')).body).toMatchObject({ items: [{ id }] });
});

it('nothing is restored, imported or removed while a program runs, nor by another process while its sandbox is kept', async () => {
  const { id } = await api.cell.customer('ann').snapshots.create();
  const leaving = new AbortController();
  const running = run(`${WRITE('running')} await new Promise(() => setInterval(() => {}, 1000));`, leaving.signal);
  const { files } = api.cell.customer('ann');
  await eventually(async () => (await files.stat('f')).size === 7);
  expect(await api.call('POST', `/customers/ann/snapshots/${id}/restore`)).toMatchObject({
    status: 429,
    body: { code: 'busy' },
  });
  await expect(api.cell.removeCustomer('ann')).rejects.toMatchObject({ code: 'busy' });
  await expect(api.cell.importCustomer('ann', (async function* () {})())).rejects.toMatchObject({ code: 'busy' });
  leaving.abort();
  expect(await running).toMatchObject({ status: 'killed' });
  const args = ['--config', `${api.folder}/config.yaml`, 'workspace', 'restore', id, '--customer', 'ann', '--json'];
  const other = await cli(args, { cwd: api.folder });
  expect([other.code, JSON.parse(other.stdout)]).toMatchObject([4, { error: { code: 'busy' } }]);
  expect(await api.call('POST', `/customers/ann/snapshots/${id}/restore`)).toMatchObject({ status: 200 });
  expect(await api.call('DELETE', `/customers/ann/snapshots/${id}`)).toMatchObject({ status: 204 });
});

it('a second server on the same storage is told to wait, and has the customer when it is let go', async () => {
  const config = `${api.folder}/config.yaml`;
  await using first = await createWorkcell({ config, env: {} });
  await using second = await createWorkcell({ config, env: {} });
  const one = (cell: Workcell) => cell.customer('bob').execute({ code: 'return 1' });
  expect(await one(first)).toMatchObject({ status: 'completed' });
  await expect(one(second)).rejects.toMatchObject({ code: 'busy', details: { retryAfterMs: expect.any(Number) } });
  await expect(second.customer('bob').files.write('f', 'x')).rejects.toMatchObject({ code: 'busy' });
  await first.close();
  expect(await one(second)).toMatchObject({ status: 'completed' });
});

it('a server that loses a customer ends its program, and records nothing more', async () => {
  await using cell = await createWorkcell({ config: `${api.folder}/config.yaml`, env: {} });
  const customer = cell.customer('eve');
  const running = customer.execute({
    code: `${WRITE('x')} await new Promise(() => setInterval(() => {}, 1000));`,
    session: 's',
  });
  await eventually(async () => (await customer.files.list()).entries.some(({ path }) => path === 'f'));
  // As another server that found the lease run out.
  const record = { owner: 'other', token: 99, expires: Date.now() + 60_000, ttlMs: 60_000 };
  await writeFile(`${api.folder}/workspaces/eve/.lease/99`, JSON.stringify(record));
  await expect(running).rejects.toMatchObject({ code: 'sandbox_lost' });
  const { tasks } = await customer.session('s');
  expect(tasks.map(({ status }) => status)).toEqual(['interrupted']);
  await expect(customer.files.write('f', 'late')).rejects.toMatchObject({ code: 'busy' });
});
