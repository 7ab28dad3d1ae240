import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StdioServer } from '../../src/upstream/upstream-server.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface CellOptions {
  readonly mcpServers?: Readonly<Record<string, StdioServer>>;
  /** In the language of `config.yaml`. */
  readonly limits?: Readonly<Record<string, string | number>>;
  readonly sandbox?: Readonly<
    Record<string, string | number | boolean | Readonly<Record<string, string | readonly string[]>>>
  >;
  readonly workspace?: Readonly<Record<string, string | number | boolean>>;
  readonly server?: Readonly<Record<string, string | number>>;
  readonly quotas?: Readonly<Record<string, unknown>>;
  readonly approvals?: Readonly<Record<string, string>>;
  readonly sessions?: Readonly<Record<string, string | readonly string[]>>;
  /** Default: the user's cache may hold a model or not, so tools are found by their words alone. */
  readonly embeddings?: Readonly<Record<string, string | boolean>>;
}

/** Lays out the folders of a cell, with the calculator's tools, and gives the path of its configuration. */
export async function writeConfig(folder: string, options: CellOptions = {}): Promise<string> {
  const servers = join(folder, 'servers');
  for (const name of ['workspaces', 'servers', 'skills']) await mkdir(join(folder, name));
  await cp(join(ROOT, 'servers/calculator'), join(servers, 'calculator'), { recursive: true });
  await cp(join(ROOT, 'servers/runtime.ts'), join(servers, 'runtime.ts'));
  const { mcpServers = {}, embeddings = { mode: 'off' }, limits, ...sections } = options;
  const entries = Object.entries(mcpServers).map(([name, entry]) => {
    const { command, args, cwd, env, excludeTools, requireApproval, idempotencyKey = false } = entry;
    const revealed = Object.fromEntries(Object.entries(env).map(([key, value]) => [key, value.reveal()]));
    return [name, { command, args, cwd, env: revealed, idempotencyKey, excludeTools, requireApproval }];
  });
  const config = {
    paths: { workspaces: './workspaces', servers: './servers', skills: './skills' },
    mcpServers: Object.fromEntries(entries),
    // Emulated guests of a loaded machine need more than what is enough elsewhere.
    limits: { timeout: '120s', ...limits },
    ...sections,
    selector: { embeddings },
    log: { level: 'silent' },
  };
  const path = join(folder, 'config.yaml');
  // JSON is YAML.
  await writeFile(path, JSON.stringify(config));
  return path;
}
