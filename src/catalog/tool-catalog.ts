import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isWorkcellError, messageOf, WorkcellError } from '../core/errors.ts';
import { serverNameProblem } from '../core/server-name.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { GatedFiles } from '../util/gated-files.ts';
import { nearest } from '../util/nearest.ts';
import { descriptorsOf, readManifest, type ToolManifest } from './tool-manifest.ts';
import { type ServerChanges, type ServerListing, writeServer } from './write-server.ts';

/** One server's folder: its tools, or why they cannot be read. */
export type CatalogServer =
  | {
      readonly status: 'ready';
      readonly name: string;
      readonly kind: ToolDescriptor['kind'];
      readonly description: string;
      readonly tools: readonly ToolDescriptor[];
    }
  | { readonly status: 'broken'; readonly name: string; readonly problem: string };

const MAX_SOURCE_BYTES = 1024 * 1024;

/**
 * All tools in the folders below `servers/`, as they were when the catalog was opened, and what was written through it
 * since. A folder without a manifest is no server.
 */
export class ToolCatalog {
  readonly #folder: string;
  readonly #files: GatedFiles;
  readonly #servers: Map<string, CatalogServer>;

  /** A folder whose manifest is broken is kept as such and does no harm to the others; no `servers` folder is an empty catalog. */
  static async open(options: { readonly servers: string }): Promise<ToolCatalog> {
    const names = await foldersIn(options.servers);
    const read = await Promise.all(names.map((name) => readServer(options.servers, name)));
    return new ToolCatalog(
      options.servers,
      read.filter((server) => server !== undefined),
    );
  }

  private constructor(folder: string, servers: readonly CatalogServer[]) {
    this.#folder = folder;
    this.#files = new GatedFiles(folder);
    this.#servers = new Map(servers.map((server) => [server.name, server]));
  }

  /** Sorted by name. */
  servers(): readonly CatalogServer[] {
    return [...this.#servers.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The tools of all servers that are ready; the same objects each time. */
  list(): readonly ToolDescriptor[] {
    return this.servers().flatMap(toolsOf);
  }

  /** The tool that `server.tool` names, by its original name or by its identifier. */
  find(name: string): ToolDescriptor | undefined {
    const [server = ''] = name.split('.', 1);
    const tools = toolsOf(this.#servers.get(server));
    const rest = name.slice(server.length + 1);
    return tools.find(({ tool }) => tool === rest) ?? tools.find(({ identifier }) => identifier === rest);
  }

  /** As {@link find}; throws `not_found` with the nearest names. */
  get(name: string): ToolDescriptor {
    const tool = this.find(name);
    if (tool !== undefined) return tool;
    const close = nearest(name, this.list().map(toolName), 3);
    const hint = close.length > 0 ? `did you mean ${close.join(' or ')}?` : 'name it as <server>.<tool>';
    throw new WorkcellError('not_found', `There is no tool ${JSON.stringify(name)}; ${hint}`, {
      details: { nearest: close },
    });
  }

  /** Writes a server's folder anew and holds its tools from then on. Throws as {@link writeServer} does. */
  async writeServer(listing: ServerListing): Promise<ServerChanges> {
    const { manifest, changes } = await writeServer(this.#folder, listing);
    this.#servers.set(manifest.server, readyServer(manifest));
    return changes;
  }

  /**
   * The source of a module, by its path below `servers/`; undefined when there is no such file. Throws
   * `invalid_argument` for a path that leads out, and `invalid_state` for what is not a regular file: no link is followed.
   */
  async load(path: string): Promise<string | undefined> {
    try {
      return (await this.#files.readFile(path, { maxBytes: MAX_SOURCE_BYTES })).toString('utf8');
    } catch (error) {
      if (isWorkcellError(error) && error.code === 'not_found') return undefined;
      throw error;
    }
  }
}

async function foldersIn(servers: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(servers, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new WorkcellError('storage_failed', `Cannot read the servers folder: ${messageOf(error)}`, { cause: error });
  }
}

async function readServer(servers: string, name: string): Promise<CatalogServer | undefined> {
  try {
    const manifest = await readManifest(join(servers, name), name);
    if (manifest === undefined) return undefined;
    const problem = serverNameProblem(name);
    if (problem !== undefined) throw new WorkcellError('invalid_state', `${JSON.stringify(name)} ${problem}`);
    return readyServer(manifest);
  } catch (error) {
    return { status: 'broken', name, problem: messageOf(error) };
  }
}

function readyServer(manifest: ToolManifest): CatalogServer {
  const { server, kind, description = '' } = manifest;
  return { status: 'ready', name: server, kind, description, tools: descriptorsOf(manifest) };
}

function toolsOf(server: CatalogServer | undefined): readonly ToolDescriptor[] {
  return server?.status === 'ready' ? server.tools : [];
}
