import { mkdir } from 'node:fs/promises';
import { type Logger, pino } from 'pino';
import { SkillShelf } from '../catalog/skill-shelf.ts';
import { SkillStore } from '../catalog/skill-store.ts';
import { type CatalogServer, ToolCatalog } from '../catalog/tool-catalog.ts';
import { CodeGenerator } from '../codegen/program.ts';
import { toolDefinition } from '../codegen/tool-definition.ts';
import { TypeChecker } from '../codegen/type-checker.ts';
import type { WorkspaceConfig } from '../config/config.ts';
import { type LoadConfigOptions, type LoadedConfig, loadConfig } from '../config/load-config.ts';
import { processEnvironment } from '../config/process-environment.ts';
import { messageOf, WorkcellError } from '../core/errors.ts';
import type { Language } from '../core/execution.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import type { ProgramExecutor } from '../executor/program-executor.ts';
import { ToolSelector } from '../selector/tool-selector.ts';
import { UpstreamHub } from '../upstream/upstream-hub.ts';
import { type CapacityLimits, reapCapacityMounts } from '../util/capacity-image.ts';
import { Cleanup } from '../util/cleanup.ts';
import { GatedFiles } from '../util/gated-files.ts';
import { WorkspaceStore } from '../workspaces/workspace-store.ts';
import { Customer, type CustomerContext } from './customer.ts';
import type { LearnedResults } from './learned-results.ts';
import { createExecutor, openBackend } from './sandbox-backend.ts';
import { searchTools, type ToolSearchOptions, type ToolSearchResult } from './search-tools.ts';
import { seedServers } from './seed-servers.ts';
import { SemanticSearch } from './semantic-search.ts';
import { type SaveSkill, Skills } from './skills.ts';
import { type SyncReport, syncTools } from './sync-tools.ts';
import { unavailableServers } from './unavailable-servers.ts';

export interface WorkcellOptions {
  /** A configuration file, or one that is loaded already. Default `config.yaml` in the current folder. */
  readonly config?: string | LoadedConfig;
  /** Stands above the file, as `loadConfig` describes. Default: the environment of the process. */
  readonly env?: LoadConfigOptions['env'];
  /** Told, in words for people, of whatever takes longer than a moment. */
  readonly onProgress?: (text: string) => void;
}

const SYNC_TIMEOUT_MS = 60_000;

/** Everything together: `await using cell = await createWorkcell()`. Throws `invalid_config`. */
export async function createWorkcell(options: WorkcellOptions = {}): Promise<Workcell> {
  const { config, env = processEnvironment(), onProgress = () => {} } = options;
  const loaded =
    typeof config === 'object' ? config : await loadConfig({ env, ...(config === undefined ? {} : { path: config }) });
  return Workcell.open(loaded, onProgress);
}

/** The facade: customers run programs, tools are found and synced. Dispose it to end every sandbox and server it started. */
export class Workcell implements AsyncDisposable {
  readonly loaded: LoadedConfig;
  /** Those that all customers share; `save` takes the program of a customer. */
  readonly skills: Skills<SaveSkill & { readonly customer: string }>;
  readonly #log: Logger;
  readonly #catalog: ToolCatalog;
  readonly #hub: UpstreamHub;
  readonly #typeChecker: TypeChecker;
  readonly #onProgress: (text: string) => void;
  readonly #customers = new Map<string, Customer>();
  readonly #workspaces: WorkspaceStore;
  readonly #cleanup = new Cleanup();
  readonly #sharedSkills: SkillStore;
  readonly #semantic: SemanticSearch | undefined;
  readonly #selector: ToolSelector;
  readonly #onUsageProblem: CustomerContext['onUsageProblem'];
  #executor: Promise<ProgramExecutor> | undefined;
  #closing: Promise<void> | undefined;

  private constructor(loaded: LoadedConfig, catalog: ToolCatalog, onProgress: (text: string) => void) {
    const { config } = loaded;
    this.loaded = loaded;
    this.#log = pino({ level: config.log.level }, pino.destination(2));
    this.#catalog = catalog;
    this.#onProgress = onProgress;
    this.#semantic =
      config.selector.embeddings.mode === 'off' ? undefined : new SemanticSearch({ settings: config, onProgress });
    this.#cleanup.add(async () => this.#semantic?.[Symbol.asyncDispose]());
    this.#selector = new ToolSelector([], { semantic: this.#semantic });
    this.#indexTools();
    this.#onUsageProblem = (customer, error) => this.#log.warn({ customer, code: error.code }, error.message);
    this.#workspaces = new WorkspaceStore({
      root: config.paths.workspaces,
      capacity: workspaceCapacity(config.workspace),
    });
    this.#cleanup.add(() => this.#workspaces.close());
    this.#sharedSkills = new SkillStore(new GatedFiles(config.paths.skills), 'shared');
    const shelf = new SkillShelf([this.#sharedSkills]);
    this.skills = new Skills({
      shelf: async () => shelf,
      scope: 'shared',
      tools: () => this.#catalog.all(),
      recorded: ({ customer, execution }) => this.customer(customer).recordedExecution(execution),
    });
    this.#hub = new UpstreamHub({
      servers: config.mcpServers,
      onProblem: (server, error) => this.#log.warn({ server, code: error.code }, error.message),
    });
    this.#cleanup.add(() => this.#hub.close());
    this.#typeChecker = new TypeChecker({ load: (path) => catalog.loadPromised(path) });
    this.#cleanup.add(() => this.#typeChecker[Symbol.asyncDispose]());
  }

  static async open(loaded: LoadedConfig, onProgress: (text: string) => void): Promise<Workcell> {
    const { paths, tools } = loaded.config;
    const { workspaces, servers, skills } = paths;
    for (const folder of [workspaces, skills]) await mkdir(folder, { recursive: true });
    await reapCapacityMounts(workspaces);
    await seedServers(servers);
    const cell = new Workcell(loaded, await ToolCatalog.open({ servers, observed: tools.observed }), onProgress);
    try {
      await cell.#bringForward();
      await cell.#syncUnknown();
      return cell;
    } catch (error) {
      await cell.close();
      throw error;
    }
  }

  /** Throws `invalid_argument` for an id that is none. */
  customer(id: string): Customer {
    const customer = this.#customers.get(id) ?? new Customer(id, this.#workspaces, () => this.#context());
    this.#customers.set(id, customer);
    return customer;
  }

  listTools(): readonly ToolDescriptor[] {
    return this.#catalog.list();
  }

  /** Also those whose manifest cannot be read, and why. */
  listServers(): readonly CatalogServer[] {
    return this.#catalog.servers();
  }

  /** Tools for one query, or for each step of a task, with what a model needs to read of them. */
  searchTools(queries: string | readonly string[], options: ToolSearchOptions = {}): Promise<ToolSearchResult> {
    const list = typeof queries === 'string' ? [queries] : queries;
    return searchTools(list, options, this.#context());
  }

  /**
   * Gets the embedding model, by a download where it is not on this machine, and embeds every tool, so that no query waits
   * for that. Throws when embeddings are off or cannot be had.
   */
  async embedTools(): Promise<void> {
    if (this.#semantic === undefined)
      throw new WorkcellError('invalid_state', 'Embeddings are off; set selector.embeddings.mode to auto or on');
    await this.#semantic.prepare();
  }

  /**
   * The definition of a tool as a program uses it: its types, and the function that calls it. Throws `not_found` for a tool
   * that there is none of, and `unsupported` for one that the language cannot call.
   */
  showTool(
    name: string,
    language: Language = 'typescript',
  ): { readonly tool: ToolDescriptor; readonly definition: string } {
    const tool = this.#catalog.get(name);
    return { tool, definition: toolDefinition(tool, language) };
  }

  /** Writes the tools of the configured MCP servers as modules. A server that is down is in the reports; it stops no other. */
  async syncTools(servers?: readonly string[]): Promise<readonly SyncReport[]> {
    const reports = await syncTools({ hub: this.#hub, catalog: this.#catalog, servers, deadlineMs: SYNC_TIMEOUT_MS });
    this.#indexTools();
    return reports;
  }

  /** Opens what sandboxes need now instead of with the first program. */
  async warmUp(): Promise<void> {
    await this.#openExecutor();
  }

  /** Ends what runs, and resolves when nothing does. Safe to call again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #indexTools(): void {
    const tools = this.#catalog.list();
    this.#semantic?.setTools(tools);
    this.#selector.update(tools);
  }

  #context(): CustomerContext {
    return {
      config: this.loaded.config,
      catalog: this.#catalog,
      selector: this.#selector,
      generator: new CodeGenerator(),
      typeChecker: this.#typeChecker,
      hub: this.#hub,
      sharedSkills: this.#sharedSkills,
      learn: (results) => this.#learn(results),
      unavailable: unavailableServers(this.#hub),
      onUsageProblem: this.#onUsageProblem,
      executor: () => this.#openExecutor(),
    };
  }

  /** What an earlier version has generated is still read, but lacks what this one generates. */
  async #bringForward(): Promise<void> {
    for (const { server, error } of await this.#catalog.bringForward())
      this.#onProgress(`the modules of ${server} are those of an earlier version: ${messageOf(error)}`);
  }

  /** No program fails because what it has shown could not be kept. */
  async #learn(results: LearnedResults): Promise<void> {
    for (const [server, tools] of results.byServer) {
      try {
        await this.#catalog.learn(server, tools);
      } catch (error) {
        this.#log.warn({ server }, `The types of results could not be kept: ${messageOf(error)}`);
      }
    }
  }

  /** Servers that were configured and never synced would look as if they had no tools. */
  async #syncUnknown(): Promise<void> {
    const known = new Set(this.#catalog.servers().map(({ name }) => name));
    const unknown = this.#hub.servers.filter((server) => !known.has(server));
    if (unknown.length === 0) return;
    this.#onProgress(`reading the tools of ${unknown.join(', ')}`);
    for (const report of await this.syncTools(unknown)) {
      if (!report.ok) this.#onProgress(`${report.server} is not available: ${report.error.message}`);
    }
  }

  async #close(): Promise<void> {
    await this.#cleanup.run();
    await Promise.all([...this.#customers.values()].map((customer) => customer.settled()));
  }

  #openExecutor(): Promise<ProgramExecutor> {
    if (this.#closing !== undefined) return Promise.reject(new WorkcellError('cancelled', 'This Workcell is closed'));
    this.#executor ??= this.#startExecutor().catch((error) => {
      this.#executor = undefined;
      throw error;
    });
    return this.#executor;
  }

  async #startExecutor(): Promise<ProgramExecutor> {
    const { config } = this.loaded;
    const backend = await openBackend(config, this.#onProgress);
    if (config.sandbox.protocol === 'rpc' && config.sandbox.url !== undefined)
      this.#onProgress('a 0.2 server is used: it alone decides what programs reach of the network');
    this.#cleanup.add(async () => backend[Symbol.asyncDispose]());
    const executor = createExecutor(config, backend);
    this.#cleanup.add(async () => executor[Symbol.asyncDispose]());
    return executor;
  }
}

/** Throws `invalid_config` for a number of files alone: only a file system of one's own can count them. */
function workspaceCapacity({ capacityBytes, inodes }: WorkspaceConfig): CapacityLimits | undefined {
  if (capacityBytes !== undefined) return { bytes: capacityBytes, inodes };
  if (inodes === undefined) return undefined;
  throw new WorkcellError('invalid_config', 'workspace.inodes is set without workspace.capacity; set that, too');
}
