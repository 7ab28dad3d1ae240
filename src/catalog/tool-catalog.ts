import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { joinObserved, type ObservedSchema, observe } from '../codegen/observed-schema.ts';
import { publicNames } from '../codegen/public-names.ts';
import { renderWrapper } from '../codegen/wrapper.ts';
import { isWorkcellError, messageOf, WorkcellError } from '../core/errors.ts';
import { serverNameProblem } from '../core/server-name.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import type { ToolFailure } from '../core/tool-error.ts';
import { GatedFiles } from '../util/gated-files.ts';
import { nearest } from '../util/nearest.ts';
import { NONE_OBSERVED, readObserved } from './observed-outputs.ts';
import { descriptorsOf } from './tool-descriptors.ts';
import { readManifest, type ToolManifest } from './tool-manifest.ts';
import {
  GENERATOR,
  listingOf,
  type ServerChanges,
  type ServerListing,
  writeObserved,
  writeServer,
} from './write-server.ts';

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

/** Why a tool that is there cannot be called; undefined when it can. */
export type Refusal = (tool: ToolDescriptor) => ToolFailure | undefined;

export interface ToolCatalogOptions {
  /** The folder of the servers' folders. */
  readonly servers: string;
  /** Whether types of results are learned where a server promises none. Default true. */
  readonly observed?: boolean;
  /** Decides which upstream tools are hidden. Default: none. */
  readonly refusal?: Refusal;
}

/** A tool that is there and cannot be called. */
export interface HiddenTool {
  readonly tool: ToolDescriptor;
  readonly refusal: ToolFailure;
}

const MAX_SOURCE_BYTES = 1024 * 1024;

/**
 * All tools in the folders below `servers/`, as they were when the catalog was opened, and what was written through it
 * or read again since. A folder without a manifest is no server. A tool that cannot be called is not listed and not found: it is hidden.
 */
export class ToolCatalog {
  readonly #folder: string;
  readonly #files: GatedFiles;
  readonly #servers: Map<string, CatalogServer>;
  readonly #refusal: Refusal;
  readonly #observed: boolean;
  /** Of each server, by its name, until its tools change. */
  readonly #publicNames = new Map<string, (name: string) => boolean>();
  #visible: readonly ToolDescriptor[] | undefined;

  /** A folder whose manifest is broken is kept as such and does no harm to the others; no `servers` folder is an empty catalog. */
  static async open(options: ToolCatalogOptions): Promise<ToolCatalog> {
    const { servers, observed = true } = options;
    const names = await serverFolders(servers);
    const read = await Promise.all(names.map((name) => readServer(servers, name, observed)));
    return new ToolCatalog(
      { ...options, observed },
      read.filter((server) => server !== undefined),
    );
  }

  private constructor(options: ToolCatalogOptions & { readonly observed: boolean }, servers: readonly CatalogServer[]) {
    this.#folder = options.servers;
    this.#observed = options.observed;
    this.#files = new GatedFiles(options.servers);
    this.#refusal = options.refusal ?? (() => undefined);
    this.#servers = new Map(servers.map((server) => [server.name, server]));
  }

  /** Sorted by name. */
  servers(): readonly CatalogServer[] {
    return [...this.#servers.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The tools of all servers that are ready, but for the hidden ones; the same objects each time. */
  list(): readonly ToolDescriptor[] {
    this.#visible ??= this.all().filter((tool) => this.#refuse(tool) === undefined);
    return this.#visible;
  }

  /** As {@link list}, with the hidden ones. */
  all(): readonly ToolDescriptor[] {
    return this.servers().flatMap(toolsOf);
  }

  /** The tools that are hidden, and why. */
  hidden(): readonly HiddenTool[] {
    return this.all().flatMap((tool) => {
      const refusal = this.#refuse(tool);
      return refusal === undefined ? [] : [{ tool, refusal }];
    });
  }

  /** Why this tool is hidden; undefined for one that is not, and for one that is not there. */
  refusal({ server, tool }: Pick<ToolDescriptor, 'server' | 'tool'>): ToolFailure | undefined {
    const found = toolsOf(this.#servers.get(server)).find((each) => each.tool === tool);
    return found && this.#refuse(found);
  }

  /** What decides about hidden tools has changed its mind. */
  review(): void {
    this.#visible = undefined;
  }

  /** The tool that `server.tool` names, by its original name or by one of its identifiers. */
  find(name: string): ToolDescriptor | undefined {
    const tool = this.#named(name);
    return tool === undefined || this.#refuse(tool) !== undefined ? undefined : tool;
  }

  /** As {@link find}; throws `not_found` with the nearest names, and `forbidden` with the reason for a hidden one. */
  get(name: string): ToolDescriptor {
    const tool = this.#named(name);
    const refusal = tool && this.#refuse(tool);
    if (refusal !== undefined)
      throw new WorkcellError('forbidden', refusal.message, { details: { code: refusal.code } });
    if (tool !== undefined) return tool;
    const close = nearest(name, this.list().map(toolName), 3);
    const hint = close.length > 0 ? `did you mean ${close.join(' or ')}?` : 'name it as <server>.<tool>';
    throw new WorkcellError('not_found', `There is no tool ${JSON.stringify(name)}; ${hint}`, {
      details: { nearest: close },
    });
  }

  /** Writes a server's folder anew and holds its tools from then on. Throws as {@link writeServer} does. */
  async writeServer(listing: ServerListing): Promise<ServerChanges> {
    const { manifest, tools, changes } = await writeServer(this.#folder, listing, { observed: this.#observed });
    this.#servers.set(manifest.server, readyServer(manifest, tools));
    this.#publicNames.delete(manifest.server);
    this.review();
    return changes;
  }

  /** Reads the folder of a server again: another process may have written it. */
  async reload(name: string): Promise<void> {
    const server = await readServer(this.#folder, name, this.#observed);
    if (server === undefined) this.#servers.delete(name);
    else this.#servers.set(name, server);
    this.#publicNames.delete(name);
    this.review();
  }

  #named(name: string): ToolDescriptor | undefined {
    const [server = ''] = name.split('.', 1);
    const tools = toolsOf(this.#servers.get(server));
    const rest = name.slice(server.length + 1);
    return (
      tools.find(({ tool }) => tool === rest) ??
      tools.find(({ identifier, pythonIdentifier }) => identifier === rest || pythonIdentifier === rest)
    );
  }

  #refuse(tool: ToolDescriptor): ToolFailure | undefined {
    return tool.kind === 'upstream' ? this.#refusal(tool) : undefined;
  }

  /**
   * Writes the folders anew that an earlier version of Workcell has generated, from what they say themselves. Gives the
   * servers with which that failed, and why; they keep the files that they have.
   */
  async bringForward(): Promise<readonly { readonly server: string; readonly error: unknown }[]> {
    const failed: { server: string; error: unknown }[] = [];
    for (const { name, status } of this.servers()) {
      if (status !== 'ready') continue;
      try {
        const manifest = await readManifest(join(this.#folder, name), name);
        if (manifest?.kind !== 'upstream' || (manifest.generator ?? 0) >= GENERATOR) continue;
        await this.writeServer(listingOf(manifest));
      } catch (error) {
        failed.push({ server: name, error });
      }
    }
    return failed;
  }

  /**
   * The structure of a result of the tool, as far as it may be shared with everybody who reads the tools; undefined for a
   * tool whose results are not learned.
   */
  observe({ server, tool }: Pick<ToolDescriptor, 'server' | 'tool'>, result: unknown): ObservedSchema | undefined {
    const known = this.#servers.get(server);
    const descriptor = toolsOf(known).find((entry) => entry.tool === tool);
    if (!this.#observed || descriptor?.kind !== 'upstream' || descriptor.outputSchema !== undefined) return undefined;
    const isPublic = this.#publicNames.get(server) ?? publicNames(toolsOf(known));
    this.#publicNames.set(server, isPublic);
    return observe(result, isPublic);
  }

  /** Keeps what was learned of results, by the names of the tools, and rewrites the wrappers that it makes wider. */
  async learn(server: string, results: ReadonlyMap<string, ObservedSchema>): Promise<void> {
    const news = new Map([...results].filter(([tool, seen]) => this.#isNew(server, tool, seen)));
    const tools = news.size === 0 ? undefined : await writeObserved(this.#folder, server, news);
    const known = this.#servers.get(server);
    if (tools === undefined || known?.status !== 'ready') return;
    this.#servers.set(server, { ...known, tools });
    this.review();
  }

  #isNew(server: string, tool: string, seen: ObservedSchema): boolean {
    const known = toolsOf(this.#servers.get(server)).find((entry) => entry.tool === tool)?.observedOutput;
    if (typeof known !== 'object') return true;
    return JSON.stringify(joinObserved(known, seen)) !== JSON.stringify(known);
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

  /**
   * As {@link load}, for a check before anything runs: it holds only what servers promise. What was observed so far is no
   * reason to refuse a program.
   */
  async loadPromised(path: string): Promise<string | undefined> {
    const [server = '', file] = path.split('/');
    const tool = toolsOf(this.#servers.get(server)).find(({ identifier }) => file === `${identifier}.ts`);
    if (tool?.observedOutput === undefined) return await this.load(path);
    const { observedOutput: _, ...promised } = tool;
    return renderWrapper(promised);
  }
}

/** The names of what may be servers; none without the folder. Throws `storage_failed`. */
export async function serverFolders(servers: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(servers, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new WorkcellError('storage_failed', `Cannot read the servers folder: ${messageOf(error)}`, { cause: error });
  }
}

async function readServer(servers: string, name: string, observed: boolean): Promise<CatalogServer | undefined> {
  try {
    const manifest = await readManifest(join(servers, name), name);
    if (manifest === undefined) return undefined;
    const problem = serverNameProblem(name);
    if (problem !== undefined) throw new WorkcellError('invalid_state', `${JSON.stringify(name)} ${problem}`);
    const learned = observed ? await readObserved(join(servers, name)) : NONE_OBSERVED;
    return readyServer(manifest, descriptorsOf(manifest, learned));
  } catch (error) {
    return { status: 'broken', name, problem: messageOf(error) };
  }
}

function readyServer(manifest: ToolManifest, tools: readonly ToolDescriptor[]): CatalogServer {
  const { server, kind, description = '' } = manifest;
  return { status: 'ready', name: server, kind, description, tools };
}

function toolsOf(server: CatalogServer | undefined): readonly ToolDescriptor[] {
  return server?.status === 'ready' ? server.tools : [];
}
