// What the stock clients say of secrets and quotas, and what a driver is told of it.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openQuietServer, type QuietServer } from '../../support/quiet-server.ts';
import { API_KEY } from '../../support/sandbox-server.ts';
import { ScriptedDriver } from '../../support/scripted-driver.ts';
import { command, type StockClients, stockClients } from '../../support/stock-clients.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let clients: StockClients;
let driver: ScriptedDriver;
let server: QuietServer;
let folder: TempFolder;
let env: Record<string, string>;

beforeAll(async () => {
  clients = await stockClients();
  driver = new ScriptedDriver();
  folder = await tempFolder();
  server = await openQuietServer({ driver, bindRoots: [folder.path] });
  env = { HOME: folder.path, MSB_BACKEND: 'cloud', MSB_API_URL: server.url, MSB_API_KEY: API_KEY };
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

it('a secret and a quota of the stock SDK reach the driver', async () => {
  const program = join(import.meta.dirname, '../../support/stock-secret-program.ts');
  const outcome = await command(process.execPath, [program, clients.folder, folder.path], { env });
  expect(outcome).toMatchObject({ stderr: '', code: 0 });
  const [spec] = driver.specs;
  expect(spec).toMatchObject({
    secrets: {
      onViolation: 'block-and-log',
      entries: [
        {
          name: 'TOKEN',
          hosts: ['api.example.com', '*.example.org'],
          inject: ['headers', 'basic_auth'],
          requiresTls: true,
        },
      ],
    },
    mounts: [{ kind: 'directory', path: folder.path, target: '/data', quotaMib: 5 }],
  });
  expect(spec?.secrets?.entries[0]?.value.reveal()).toBe('real value');
});

it('a secret that the stock command wants the server to look up is refused, with what to do instead', async () => {
  const secret = ['--secret', 'TOKEN@api.example.com'];
  const outcome = await command(clients.msb, ['create', '--name', 'two', ...secret, 'host'], {
    env: { ...env, TOKEN: 'real value' },
  });
  expect(outcome.code).not.toBe(0);
  expect(outcome.stderr).toMatch(/"source" of network\.secrets.*send the value/);
});
