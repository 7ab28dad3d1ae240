import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { API_KEY, openServer, type TestServer } from '../support/sandbox-server.ts';
import { type CommandOutcome, command, type StockClients, stockClients } from '../support/stock-clients.ts';

const SDK_PROGRAM = fileURLToPath(new URL('../support/stock-sdk-program.ts', import.meta.url));

let server: TestServer;
let clients: StockClients;

beforeAll(async () => {
  [server, clients] = await Promise.all([openServer(), stockClients()]);
  await mkdir(join(server.folder, 'home'));
});

afterAll(() => server?.[Symbol.asyncDispose]());

const env = (key = API_KEY) => ({
  MSB_BACKEND: 'cloud',
  MSB_API_URL: server.url,
  MSB_API_KEY: key,
  HOME: join(server.folder, 'home'),
});
const msb = (args: readonly string[], input?: string): Promise<CommandOutcome> =>
  command(clients.msb, args, { env: env(), ...(input === undefined ? {} : { input }) });
const done = { code: 0, stderr: '' };

describe("the stock `msb` command drives a server of one's own", () => {
  it('creates a sandbox, runs commands in it, and ends it', async () => {
    expect(
      await msb(['create', '--name', 'one', '-e', 'GREETING=hello', '-w', '/tmp', '--no-net', 'host']),
    ).toMatchObject(done);
    expect((await msb(['ls'])).stdout).toMatch(/^one\s+host\s+running\s+\d{4}-/m);
    expect((await msb(['ps'])).stdout).toMatch(/^one\s+host\s.*1 \/ 1\s+512 MiB \/ 512 MiB\s+running/m);
    expect(JSON.parse((await msb(['inspect', 'one', '--format', 'json'])).stdout)).toMatchObject({
      status: 'Running',
      config: { env: [{ key: 'GREETING', value: '[redacted]' }] },
    });
    expect(await msb(['exec', 'one', '--', 'sh', '-c', 'echo $GREETING; echo err >&2; exit 3'])).toEqual({
      stdout: 'hello\n',
      stderr: 'err\n',
      code: 3,
    });
    expect(await msb(['exec', 'one', '--', 'cat'], 'from stdin')).toMatchObject({ ...done, stdout: 'from stdin' });
    expect((await msb(['exec', 'one', '--', 'no-such-command'])).code).not.toBe(0);

    const [up, down] = [join(server.folder, 'up.txt'), join(server.folder, 'down.txt')];
    await writeFile(up, 'carried');
    expect(await msb(['cp', up, 'one:/tmp/file.txt'])).toMatchObject(done);
    expect(await msb(['cp', 'one:/tmp/file.txt', down])).toMatchObject(done);
    expect(await readFile(down, 'utf8')).toBe('carried');

    expect((await msb(['create', '--name', 'one', 'host'])).code).not.toBe(0);
    expect((await msb(['stop', 'one'])).code).toBe(0);
    expect((await msb(['ls', '--stopped', '--quiet'])).stdout).toBe('one\n');
    // A command starts a sandbox that has stopped; in the cloud it then runs on.
    expect(await msb(['exec', '-q', 'one', '--', 'sh', '-c', 'echo $GREETING again'])).toMatchObject({
      ...done,
      stdout: 'hello again\n',
    });
    expect((await msb(['ls', '--running', '--quiet'])).stdout).toBe('one\n');
    expect((await msb(['stop', 'one'])).code).toBe(0);
    expect((await msb(['rm', 'one'])).code).toBe(0);
    expect(await msb(['ls', '--quiet'])).toMatchObject({ code: 0, stdout: '' });
  });

  it('says why when the key is wrong, and when there is no such sandbox', async () => {
    const refused = await command(clients.msb, ['ls'], { env: env('msb_wrong') });
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/API key/i) });
    expect(await msb(['exec', 'none', '--', 'true'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/not found/),
    });
  });
});

describe('the stock SDK', () => {
  it('runs commands, follows their output and moves files', async () => {
    const { stdout, stderr, code } = await command(process.execPath, [SDK_PROGRAM, clients.folder], { env: env() });
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
    expect(JSON.parse(stdout)).toEqual({
      output: ['out\n', 'err\n', 3],
      log: [
        ['stdout', 'out\n'],
        ['stderr', 'err\n'],
        ['stderr', 'err\n'],
      ],
      missing: expect.stringContaining('no-such-command'),
      read: 'hällo',
      size: 6,
      list: ['/tmp/d/a.txt', '/tmp/d/c.txt'],
      bigIsEqual: true,
    });
  });
});
