import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WorkcellClient } from '../../src/client/index.ts';
import { FlakyProxy } from '../chaos/flaky-proxy.ts';
import { type ApiServer, openApiServer } from '../support/api-server.ts';

let server: ApiServer;
let proxy: FlakyProxy;
let client: WorkcellClient;

beforeAll(async () => {
  server = await openApiServer();
  proxy = await FlakyProxy.open(() => Number(new URL(server.url).port));
  client = new WorkcellClient({ url: proxy.url, apiKey: server.key });
});

afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

describe('the client', () => {
  test('tells each event once, and runs the program once, whatever becomes of its connections', async () => {
    const customer = client.customer('ann');
    const code = `import { appendFileSync } from 'node:fs';
      appendFileSync('/workspace/runs', 'x');
      for (let line = 1; line <= 10; line++) {
        console.log(line);
        await new Promise((done) => setTimeout(done, 50));
      }
      return 'done'`;
    const events = [];
    for await (const event of customer.stream({ code })) {
      events.push(event);
      if (event.type === 'stdout') proxy.dropAll();
    }
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(events.at(-1)).toMatchObject({ type: 'finished', result: { status: 'completed', value: 'done' } });
    const { bytes } = await customer.readFile('runs');
    expect(Buffer.from(bytes).toString()).toBe('x');
  });

  test('calls any operation by its name', async () => {
    await client.call('PUT /customers/{customer}', { params: { customer: 'bea' } });
    const { items } = await client.call('GET /customers', { query: { limit: 10 } });
    expect(items).toContainEqual({ customer: 'bea' });
    expect(await client.call('GET /customers/{customer}/usage', { params: { customer: 'bea' } })).toHaveProperty(
      'executions',
    );
  });

  test('keeps a file that somebody else has changed', async () => {
    const files = client.customer('ann');
    const first = await files.writeFile('a/notes', 'one', { isNew: true });
    const second = await files.writeFile('a/notes', 'two', { ifMatch: first });
    await expect(files.writeFile('a/notes', 'three', { ifMatch: first })).rejects.toMatchObject({
      code: 'precondition_failed',
    });
    await expect(files.writeFile('a/notes', 'four', { isNew: true })).rejects.toMatchObject({
      code: 'precondition_failed',
    });
    const { bytes, version } = await files.readFile('a/notes', { range: { start: 1 } });
    expect([Buffer.from(bytes).toString(), version]).toEqual(['wo', second]);
    await files.removeFile('a/notes');
    await expect(files.readFile('a/notes')).rejects.toMatchObject({ code: 'not_found' });
  });

  test('moves a session with its files to another customer', async () => {
    const [from, to] = [client.customer('ann'), client.customer('cleo')];
    const code = "const { writeFileSync } = await import('node:fs'); writeFileSync('/workspace/kept', 'yes'); return 1";
    const { sessionId } = await from.execute({ code, session: 'moving' });
    const passphrase = 'correct horse';
    const archive = await from.exportSession(sessionId, { passphrase });
    await expect(to.importSession(archive, { passphrase: 'wrong horse' })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
    await to.importSession(await from.exportSession(sessionId, { passphrase }), { passphrase, as: 'moved' });
    expect(Buffer.from((await to.readFile('kept')).bytes).toString()).toBe('yes');
    const params = { customer: 'cleo', sessionId: 'moved' };
    const { tasks } = await client.call('GET /customers/{customer}/sessions/{sessionId}', { params, query: {} });
    expect(tasks).toMatchObject([{ status: 'completed', result: 1 }]);
  });

  test('unpacks what it has downloaded', async () => {
    const files = client.customer('dan');
    await files.writeFile('in/a', 'one');
    const { skipped, ...added } = await files.uploadArchive(await files.downloadArchive('in'), 'out');
    expect([added, skipped]).toMatchObject([{ files: 1, bytes: 3 }, []]);
    expect(Buffer.from((await files.readFile('out/a')).bytes).toString()).toBe('one');
  });

  test('throws what the server says, with the id to ask its operator about', async () => {
    const wrong = new WorkcellClient({ url: server.url, apiKey: 'msb_wrong' });
    await expect(wrong.customer('ann').execute({ code: 'return 1' })).rejects.toMatchObject({
      code: 'unauthenticated',
      details: { status: 401, requestId: expect.stringMatching(/./) },
    });
    await expect(client.customer('ann').execution('exe_none')).rejects.toMatchObject({ code: 'not_found' });
  });

  test('gives up on a server that is not there', async () => {
    const nowhere = new WorkcellClient({ url: 'http://127.0.0.1:1', apiKey: 'msb_x', attempts: 2 });
    await expect(nowhere.call('GET /customers', { query: {} })).rejects.toMatchObject({ code: 'server_unreachable' });
  });
});
