import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StdioServer } from '../../src/upstream/upstream-server.ts';
import { createDriver } from '../../src/workcell/driver-choice.ts';
import { createWorkcell, type Workcell } from '../../src/workcell/workcell.ts';
import { tempFolder } from './temp-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A Workcell of its own, with real guests; the cache of the user, which holds the template, is shared. */
export interface Cell extends AsyncDisposable {
  readonly workcell: Workcell;
  /** Holds `config.yaml`, `workspaces/`, `servers/` and `skills/`; goes away with the cell. */
  readonly folder: string;
  readonly configPath: string;
  /** The host's path of a file in a customer's `/workspace`. */
  hostPath(customer: string, path: string): string;
}

export interface CellOptions {
  readonly mcpServers?: Readonly<Record<string, StdioServer>>;
  /** In the language of `config.yaml`. */
  readonly limits?: Readonly<Record<string, string | number>>;
  readonly sandbox?: Readonly<
    Record<string, string | number | boolean | Readonly<Record<string, string | readonly string[]>>>
  >;
  readonly workspace?: Readonly<Record<string, string | number>>;
}

/** Opens one. A host that cannot boot guests is a failure, in the words of the driver's probe. */
export async function openCell(options: CellOptions = {}): Promise<Cell> {
  const folder = await tempFolder();
  try {
    const configPath = await writeConfig(folder.path, options);
    const workcell = await createWorkcell({ config: configPath });
    await assertReady(workcell);
    return {
      workcell,
      folder: folder.path,
      configPath,
      hostPath: (customer, path) => join(folder.path, 'workspaces', customer, 'files', path),
      [Symbol.asyncDispose]: async () => {
        await workcell.close();
        await folder[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

/** Lays out the folders of a cell, with the calculator's tools, and gives the path of its configuration. */
export async function writeConfig(folder: string, options: CellOptions = {}): Promise<string> {
  const servers = join(folder, 'servers');
  for (const name of ['workspaces', 'servers', 'skills']) await mkdir(join(folder, name));
  await cp(join(ROOT, 'servers/calculator'), join(servers, 'calculator'), { recursive: true });
  await cp(join(ROOT, 'servers/runtime.ts'), join(servers, 'runtime.ts'));
  const { mcpServers = {}, limits = {}, sandbox = {}, workspace = {} } = options;
  const entries = Object.entries(mcpServers).map(([name, { command, args, cwd, env }]) => {
    const revealed = Object.fromEntries(Object.entries(env).map(([key, value]) => [key, value.reveal()]));
    return [name, { command, args, cwd, env: revealed }];
  });
  const config = {
    paths: { workspaces: './workspaces', servers: './servers', skills: './skills' },
    mcpServers: Object.fromEntries(entries),
    sandbox,
    workspace,
    limits,
    log: { level: 'silent' },
  };
  const path = join(folder, 'config.yaml');
  // JSON is YAML.
  await writeFile(path, JSON.stringify(config));
  return path;
}

async function assertReady(workcell: Workcell): Promise<void> {
  await using driver = await createDriver(workcell.loaded.config);
  const { ready, problems } = await driver.probe();
  if (ready) return;
  const lines = problems.map(({ what, fix }) => `${what}: ${fix}`);
  throw new Error(`This host cannot boot guests.\n${lines.join('\n')}`);
}
