import { afterEach, beforeEach, expect, test } from 'vitest';
import { WorkcellClient } from '../../src/client/index.ts';
import { writeConfig } from '../support/cell-config.ts';
import { type RunningCli, startCli } from '../support/cli.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const SANDBOX = { driver: 'bubblewrap', isolation: 'process' };

let folder: TempFolder;

beforeEach(async () => {
  folder = await tempFolder();
});

afterEach(() => folder[Symbol.asyncDispose]());

async function serve(drain: string): Promise<{ server: RunningCli; url: string; apiKey: string }> {
  const config = await writeConfig(folder.path, { sandbox: SANDBOX, server: { drain } });
  const server = startCli(['--config', config, 'serve', '--port', '0'], { cwd: folder.path });
  const [, url = '', apiKey = ''] = await eventually(
    () => /MSB_API_URL=(\S+) MSB_API_KEY=(\S+)/.exec(server.stdout()) ?? undefined,
  );
  return { server, url, apiKey };
}

/** Resolves when the program has said that it runs. */
async function begin(client: WorkcellClient, code: string) {
  const events = client.customer('ann').stream({ code });
  for (let next = await events.next(); next.done !== true; next = await events.next())
    if (next.value.type === 'stdout') return events;
  throw new Error('The program ended without a word');
}

test('a server that is asked to end lets programs end, and begins no other', async () => {
  const { server, url, apiKey } = await serve('30s');
  const client = new WorkcellClient({ url, apiKey });
  const events = await begin(
    client,
    `console.log('running');
    const { existsSync } = await import('node:fs');
    while (!existsSync('/workspace/go-on')) await new Promise((done) => setTimeout(done, 20));
    return 'done'`,
  );
  server.signal('SIGTERM');

  await eventually(async () => (await fetch(`${url}/readyz`)).status === 503);
  const refused = await fetch(`${url}/customers/ann/executions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ code: 'return 1' }),
  });
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '2']);
  expect(await refused.json()).toMatchObject({ code: 'shutting_down', retryable: true });

  await client.customer('ann').writeFile('go-on', '');
  const rest = await Array.fromAsync(events);
  expect(rest.at(-1)).toMatchObject({ type: 'finished', result: { status: 'completed', value: 'done' } });
  expect((await server.ended).code).toBe(0);
});

test('a program that does not end is ended when its time is up, and the server with it', async () => {
  const { server, url, apiKey } = await serve('1s');
  const client = new WorkcellClient({ url, apiKey, attempts: 1 });
  const events = await begin(
    client,
    "console.log('running'); for (;;) await new Promise((done) => setTimeout(done, 50))",
  );
  const began = performance.now();
  server.signal('SIGTERM');
  const rest = await Array.fromAsync(events);
  expect((await server.ended).code).toBe(0);
  // The time that it was given, and not the half minute that is the default.
  expect(performance.now() - began).toBeLessThan(25_000);
  expect(rest.at(-1)).toMatchObject({ type: 'finished' });
});

test('asked twice, it ends at once', async () => {
  const { server, url, apiKey } = await serve('30s');
  await begin(
    new WorkcellClient({ url, apiKey }),
    "console.log('running'); for (;;) await new Promise(() => {}, setTimeout(() => {}, 1e6))",
  );
  server.signal('SIGTERM');
  await eventually(async () => (await fetch(`${url}/readyz`)).status === 503);
  server.signal('SIGTERM');
  expect((await server.ended).code).toBe(143);
});
