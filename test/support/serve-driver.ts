import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { loadConfig } from '../../src/config/load-config.ts';
import { newSecret } from '../../src/sandbox/key-file.ts';
import { createDriver } from '../../src/workcell/driver-choice.ts';
import { openBudget, prepareDriver, serveSandboxes } from '../../src/workcell/sandbox-backend.ts';

export interface ServedDriver extends AsyncDisposable {
  readonly url: string;
  readonly apiKey: string;
  readonly isolation: string;
  /** May be mounted into guests. */
  readonly hostFolder: string;
}

/** A Microsandbox server over the named driver, as `workcell serve` makes it; everything of it lies in `folder`. */
export async function serveDriver(name: string, folder: string): Promise<ServedDriver> {
  const paths = Object.fromEntries(['workspaces', 'servers', 'skills'].map((key) => [key, join(folder, key)]));
  for (const path of Object.values(paths)) await mkdir(path, { recursive: true });
  const settings = {
    ...Object.fromEntries(Object.entries(paths).map(([key, path]) => [`paths.${key}`, path])),
    'sandbox.driver': name,
    'sandbox.isolation': name === 'bubblewrap' ? 'process' : 'emulated',
  };
  const flags = Object.entries(settings).map(([key, value]) => ({ key, flag: 'test', value }));
  const { config } = await loadConfig({
    env: { HOME: process.env['HOME'], XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'] },
    flags,
    cwd: folder,
  });
  await using stack = new AsyncDisposableStack();
  const driver = stack.use(await createDriver(config));
  await prepareDriver(driver, (text) => console.error('…', text));
  const apiKey = newSecret();
  const server = stack.use(
    await serveSandboxes(config, driver, {
      host: '127.0.0.1',
      port: 0,
      hosts: [],
      keys: [apiKey],
      budget: openBudget(config),
      keepsState: true,
    }),
  );
  const owned = stack.move();
  const hostFolder = join(folder, 'workspaces', 'shared');
  await mkdir(hostFolder);
  return {
    url: server.url,
    apiKey: apiKey.reveal(),
    isolation: driver.isolation,
    hostFolder,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
