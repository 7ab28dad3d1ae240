import { afterAll, beforeAll, expect, it } from 'vitest';
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
