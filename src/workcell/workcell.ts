import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { SkillShelf } from '../catalog/skill-shelf.ts';
import { SkillStore } from '../catalog/skill-store.ts';
import type { CatalogServer, HiddenTool } from '../catalog/tool-catalog.ts';
import { CodeGenerator } from '../codegen/program.ts';
import { toolDefinition } from '../codegen/tool-definition.ts';
import { TypeChecker } from '../codegen/type-checker.ts';
import type { WorkspaceConfig } from '../config/config.ts';
import { type LoadConfigOptions, type LoadedConfig, loadConfig } from '../config/load-config.ts';
import { processEnvironment } from '../config/process-environment.ts';
import { messageOf, toWorkcellError, WorkcellError } from '../core/errors.ts';
import type { Language } from '../core/execution.ts';
import { type CustomerId, parseCustomerId } from '../core/ids.ts';
import type { ToolDescriptor, ToolMethod } from '../core/tool.ts';
import type { ToolOutcome } from '../core/tool-error.ts';
import { approvalsIn } from '../sessions/approval-folder.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { readServerLog } from '../upstream/server-log.ts';
import { type CapacityLimits, reapCapacityMounts } from '../util/capacity-image.ts';
import { Cleanup } from '../util/cleanup.ts';
import { Deadline } from '../util/deadline.ts';
import { GatedFiles } from '../util/gated-files.ts';
import { IdleMap } from '../util/idle-map.ts';
import type { Unpacked } from '../util/unpack-tree.ts';
import { APPROVALS, WorkspaceStore } from '../workspaces/workspace-store.ts';
import { createLogger } from './create-logger.ts';
import { Customer, type CustomerStates } from './customer.ts';
import type { CustomerContext } from './customer-context.ts';
import { type ApprovalSettings, CustomerState } from './customer-state.ts';
import { type ExportOptions, exportCustomer } from './export-customer.ts';
import { importCustomer } from './import-customer.ts';
import { LazyExecutor } from './lazy-executor.ts';
import type { LearnedResults } from './learned-results.ts';
import { CustomerQuotas } from './quotas.ts';
import {
  type InactiveCustomer,
  inactiveCustomers,
  type RemoveCustomerOptions,
  removeCustomer,
} from './remove-customer.ts';
import { type KeyStore, openBackend, openKeyStore, type SandboxBackend } from './sandbox-backend.ts';
import { searchTools, type ToolSearchOptions, type ToolSearchResult } from './search-tools.ts';
import { seedServers } from './seed-servers.ts';
import { SemanticSearch } from './semantic-search.ts';
import { type SaveSkill, Skills } from './skills.ts';
import type { SyncReport } from './sync-server.ts';
import { ToolIndex } from './tool-index.ts';
import { unavailableServers } from './unavailable-servers.ts';
import { type ServerReport, stateFolder, UpstreamTools } from './upstream-tools.ts';

export interface WorkcellOptions {
  /** A configuration file, or one that is loaded already. Default `config.yaml` in the current folder. */
  readonly config?: string | LoadedConfig;
  /** Stands above the file, as `loadConfig` describes. Default: the environment of the process. */
  readonly env?: LoadConfigOptions['env'];
  /** Told, in words for people, of whatever takes longer than a moment. */
  readonly onProgress?: (text: string) => void;
  /** Gives the server that programs run on, when the first one runs. Default: that of the configuration, else one in this process. */
  readonly backend?: () => Promise<SandboxBackend>;
  /** Opens before the tools of servers that were never synced are known; they are there when they are. Default false. */
  readonly syncsLater?: boolean;
}

type OpenOptions = Omit<WorkcellOptions, 'config' | 'env'>;

export interface ServerLogOptions {
  readonly customer?: string | undefined;
  /** Default 100. */
  readonly lines?: number | undefined;
}

/** One of a server's helper tools, called by the operator. */
export interface ServerCall {
  readonly server: string;
  readonly tool: string;
  readonly method: ToolMethod;
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly customer?: string | undefined;
}

/** By then another server has taken over, or this one is back. */
const RETRY_AFTER_MS = 2_000;
/** What is kept of customers of whom nothing runs. */
const IDLE_CUSTOMERS = { idleMs: 5 * 60_000, maxIdle: 256 };

/** Everything together: `await using cell = await createWorkcell()`. Throws `invalid_config`. */
export async function createWorkcell(options: WorkcellOptions = {}): Promise<Workcell> {
  const { config, env = processEnvironment() } = options;
  const loaded =
    typeof config === 'object' ? config : await loadConfig({ env, ...(config === undefined ? {} : { path: config }) });
  return Workcell.open(loaded, options);
}

/** The facade: customers run programs, tools are found and synced. Dispose it to end every sandbox and server it started. */
export class Workcell implements AsyncDisposable {
  readonly loaded: LoadedConfig;
  /** What it has counted. */
  readonly metrics = new Metrics();
  /** Who may use the server of this configuration. */
  readonly keys: KeyStore;
  /** Those that all customers share; `save` takes the program of a customer. */
  readonly skills: Skills<SaveSkill & { readonly customer: string }>;
  readonly #log: Logger;
  readonly #tools: UpstreamTools;
  readonly #typeChecker: TypeChecker;
  readonly #onProgress: (text: string) => void;
  readonly #executor: LazyExecutor;
  readonly #customers: CustomerStates;
  readonly #workspaces: WorkspaceStore;
  readonly #cleanup = new Cleanup();
  readonly #sharedSkills: SkillStore;
  readonly #index: ToolIndex;
  readonly #onUsageProblem: CustomerContext['onUsageProblem'];
  readonly #quotas: CustomerQuotas;
  #closing: Promise<void> | undefined;
  #isDraining = false;
  #isSyncing = false;

  private constructor(loaded: LoadedConfig, log: Logger, tools: UpstreamTools, options: OpenOptions) {
    const { config } = loaded;
    const { onProgress = () => {}, backend } = options;
    this.loaded = loaded;
    this.keys = openKeyStore(config);
    this.#log = log;
    this.#tools = tools;
    this.#onProgress = onProgress;
    const isSemantic = config.selector.embeddings.mode !== 'off';
    this.#index = new ToolIndex(isSemantic ? new SemanticSearch({ settings: config, onProgress }) : undefined);
    this.#cleanup.add(() => this.#index[Symbol.asyncDispose]());
    this.#indexTools();
    this.#onUsageProblem = (customer, error) => this.#log.warn({ customer, code: error.code }, error.message);
    this.#workspaces = new WorkspaceStore({
      root: config.paths.workspaces,
      capacity: workspaceCapacity(config.workspace),
      ...(config.workspace.shared
        ? { lease: { ttlMs: config.workspace.leaseMs, onLost: (customer) => this.#leave(customer) } }
        : {}),
    });
    this.#customers = new IdleMap({
      ...IDLE_CUSTOMERS,
      make: (id) => new CustomerState(id, this.#workspaces, config.sessions, this.#approvalsOf(id)),
    });
    this.#cleanup.add(() => this.#workspaces.close());
    this.#quotas = new CustomerQuotas({
      rules: config.quotas,
      cpus: config.sandbox.cpus,
      maxExecutions: config.server.maxExecutions,
      maxQueued: config.server.maxQueued,
      queueTimeoutMs: config.server.queueTimeoutMs,
      assertAccepts: () => this.#assertAccepts(),
      onRefused: (quota) => this.metrics.refused(quota),
      onProblem: (customer, error) =>
        this.#log.error({ customer, err: error }, 'What an execution has used could not be written down'),
    });
    this.#sharedSkills = new SkillStore(new GatedFiles(config.paths.skills), 'shared');
    const shelf = new SkillShelf([this.#sharedSkills]);
    this.skills = new Skills({
      shelf: async () => shelf,
      scope: 'shared',
      tools: () => this.#tools.catalog.all(),
      recorded: ({ customer, execution }) => this.customer(customer).recordedExecution(execution),
    });
    this.#cleanup.add(() => this.#tools.close());
    const { hub } = tools;
    this.metrics.watch({ breakers: () => hub.servers.map((name) => [name, hub.status(name).breaker]) });
    this.#typeChecker = new TypeChecker({ load: (path) => tools.catalog.loadPromised(path) });
    this.#cleanup.add(() => this.#typeChecker[Symbol.asyncDispose]());
    this.#executor = new LazyExecutor({
      config,
      onProgress,
      backend: backend ?? (() => openBackend(config, onProgress)),
    });
    this.#cleanup.add(() => this.#executor[Symbol.asyncDispose]());
  }

  static async open(loaded: LoadedConfig, options: OpenOptions = {}): Promise<Workcell> {
    const { config } = loaded;
    const { workspaces, servers, skills } = config.paths;
    for (const folder of [workspaces, skills]) await mkdir(folder, { recursive: true });
    await reapCapacityMounts(workspaces);
    await seedServers(servers);
    const log = createLogger(config.log.level);
    let onChanged = () => {};
    const tools = await UpstreamTools.open({ config, log, onChanged: () => onChanged() });
    const cell = new Workcell(loaded, log, tools, options);
    onChanged = () => cell.#indexTools();
    try {
      await cell.#bringForward();
      await cell.#syncUnknown(options.syncsLater === true);
      return cell;
    } catch (error) {
      await cell.close();
      throw error;
    }
  }

  /** Throws `invalid_argument` for an id that is none. */
  customer(id: string): Customer {
    return new Customer(id, this.#customers, () => this.#context());
  }

  /** The customers who have a workspace, sorted. */
  listCustomers(): Promise<readonly CustomerId[]> {
    return this.#workspaces.list();
  }

  /**
   * Rejects the calls of all customers that nobody has decided on in time, and carries out decisions that got stuck when a
   * process died. To be done at times by whoever runs for long.
   */
  async sweepApprovals(): Promise<void> {
    for (const id of await this.listCustomers()) {
      try {
        // Nothing is opened for those, most of all, of whom nothing waits.
        const waiting = await approvalsIn(join(this.loaded.config.paths.workspaces, id, APPROVALS));
        if (waiting.length > 0) await this.customer(id).sweepApprovals();
      } catch (error) {
        this.#approvalsOf(id).onProblem(error);
      }
    }
  }

  /** Customers whom nothing has been done for, for as long as that; looks only. */
  async inactiveCustomers(inactiveMs: number): Promise<readonly InactiveCustomer[]> {
    return await inactiveCustomers(this.#workspaces, inactiveMs);
  }

  /**
   * Removes a customer: workspace with snapshots, sessions, skills and usage, its folders and logs of upstream servers, and its
   * credentials. Its keys stay. Throws `busy` while anybody uses the workspace, and `invalid_state` when, with `inactiveMs`, it
   * was used meanwhile.
   */
  async removeCustomer(id: string, options: RemoveCustomerOptions = {}): Promise<void> {
    const customer = parseCustomerId(id);
    await this.#executor.release(customer);
    await removeCustomer(customer, {
      ...options,
      workspaces: this.#workspaces,
      folder: stateFolder(this.loaded.config.paths),
    });
  }

  /** A whole customer as a tar archive; see `export-customer.ts`. Throws `not_found`. */
  async exportCustomer(id: string, options: ExportOptions = {}): Promise<AsyncIterable<Uint8Array>> {
    const workspace = await this.#workspaces.find(parseCustomerId(id));
    if (workspace !== undefined) return exportCustomer(workspace, options);
    throw new WorkcellError('not_found', `There is no customer ${JSON.stringify(id)}`);
  }

  /** Makes a customer what an export of it has; see `import-customer.ts` for what it throws. */
  async importCustomer(id: string, archive: AsyncIterable<Uint8Array>): Promise<Unpacked> {
    const customer = parseCustomerId(id);
    await this.#executor.release(customer);
    using lease = this.#customers.lease(customer);
    const { workspace } = await lease.value.open();
    await using _lock = await workspace.tenure.take();
    const { maxArchiveBytes, maxArchiveFiles } = this.loaded.config.workspace;
    const limits = { bytes: maxArchiveBytes, entries: maxArchiveFiles };
    const unpacked = await importCustomer(workspace, archive, limits);
    await lease.value.reload();
    return unpacked;
  }

  listTools(): readonly ToolDescriptor[] {
    return this.#tools.catalog.list();
  }

  /** Also those whose manifest cannot be read, and why. */
  listServers(): readonly CatalogServer[] {
    return this.#tools.catalog.servers();
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
    await this.#index.embed();
  }

  /**
   * The definition of a tool as a program uses it: its types, and the function that calls it. Throws `not_found` for a tool
   * that there is none of, and `unsupported` for one that the language cannot call.
   */
  showTool(
    name: string,
    language: Language = 'typescript',
  ): { readonly tool: ToolDescriptor; readonly definition: string } {
    const tool = this.#tools.catalog.get(name);
    return { tool, definition: toolDefinition(tool, language) };
  }

  /** Tools that are known and cannot be called: left out by a filter, in quarantine, or of a server that is not configured. */
  hiddenTools(): readonly HiddenTool[] {
    return this.#tools.catalog.hidden();
  }

  /** Writes the tools of the configured MCP servers as modules. A server that is down is in the reports; it stops no other. */
  syncTools(servers?: readonly string[]): Promise<readonly SyncReport[]> {
    return this.#tools.sync(servers);
  }

  /** Asks the configured MCP servers how they are. Throws `not_found` for a name that none has. */
  serverStatus(servers?: readonly string[]): Promise<readonly ServerReport[]> {
    return this.#tools.status(servers);
  }

  /** Takes a server's tools, or one as `server.tool`, out of quarantine; gives their names. Throws `not_found`. */
  approveTools(name: string): Promise<readonly string[]> {
    return this.#tools.approve(name);
  }

  /**
   * What the process of a server wrote to stderr lately; undefined when nothing is kept. `customer`: of the process of that customer,
   * for a server with one for each. Throws `not_found`.
   */
  async serverLog(server: string, options: ServerLogOptions = {}): Promise<string | undefined> {
    const { customer, lines = 100 } = options;
    const path = this.#tools.hub.logPath(server, customer === undefined ? undefined : parseCustomerId(customer));
    return path === undefined ? undefined : await readServerLog(path, lines);
  }

  /** A server's resources and prompts, as programs reach them through its helper tools. */
  async callServer(call: ServerCall): Promise<ToolOutcome> {
    const { server, customer } = call;
    this.#tools.hub.status(server);
    const id = customer === undefined ? undefined : parseCustomerId(customer);
    return await this.#tools.hub.callTool({ ...call, customer: id, idempotent: true });
  }

  /** Opens what sandboxes need now instead of with the first program. */
  async warmUp(): Promise<void> {
    await this.#executor.open();
  }

  /** Whether tools of servers that were never asked before are still to come. */
  get isSyncing(): boolean {
    return this.#isSyncing;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Refuses new executions, and waits for those under way, at most so long; those that wait to be approved are paused. Gives whether all have ended. */
  async drain(timeoutMs: number): Promise<boolean> {
    this.#isDraining = true;
    await Promise.all(this.#customers.values().map((state) => state.endHolds()));
    using deadline = new Deadline('Waiting for executions to end', timeoutMs);
    return await deadline.race(this.#settled()).then(
      () => true,
      () => false,
    );
  }

  /** Ends what runs, and resolves when nothing does. Safe to call again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Another server owns the customer, or will soon: nothing here may go on for it. */
  #leave(customer: CustomerId): void {
    this.#log.warn({ customer }, 'The customer is lost to another server; its sandbox is ended');
    this.#executor
      .release(customer, { force: true })
      .catch((error) => this.#log.error({ customer }, `Its sandbox cannot be ended: ${messageOf(error)}`));
  }

  #assertAccepts(): void {
    if (this.#closing !== undefined) throw new WorkcellError('cancelled', 'This Workcell is closed; open another one');
    if (!this.#isDraining) return;
    const message = 'This server is shutting down, and begins nothing more; try again in a moment';
    throw new WorkcellError('shutting_down', message, { details: { retryAfterMs: RETRY_AFTER_MS } });
  }

  #indexTools(): void {
    this.#index.update(this.#tools.catalog.list());
  }

  #context(): CustomerContext {
    return {
      config: this.loaded.config,
      metrics: this.metrics,
      logger: this.#log,
      catalog: this.#tools.catalog,
      selector: this.#index.selector,
      generator: new CodeGenerator(),
      typeChecker: this.#typeChecker,
      hub: this.#tools.hub,
      sharedSkills: this.#sharedSkills,
      quotas: this.#quotas,
      learn: (results) => this.#learn(results),
      unavailable: unavailableServers(this.#tools.hub),
      onToolsChanged: (listener) => this.#index.onChanged(listener),
      onUsageProblem: this.#onUsageProblem,
      executor: () => this.#executor.open(),
      startedExecutor: () => this.#executor.find(),
    };
  }

  #approvalsOf(customer: CustomerId): ApprovalSettings {
    return {
      config: this.loaded.config,
      resume: (execution) => this.customer(customer).resumeExecution(execution, { replay: true }),
      onProblem: (error) => {
        const { code, message } = toWorkcellError(error);
        this.#log.warn({ customer, code }, `A call that waits to be approved could not be dealt with: ${message}`);
      },
    };
  }

  /** What an earlier version has generated is still read, but lacks what this one generates. */
  async #bringForward(): Promise<void> {
    for (const { server, error } of await this.#tools.catalog.bringForward())
      this.#onProgress(`the modules of ${server} are those of an earlier version: ${messageOf(error)}`);
  }

  async #syncUnknown(later: boolean): Promise<void> {
    const synced = this.#tools.syncUnknown(this.#onProgress);
    if (!later) return await synced;
    this.#isSyncing = true;
    void synced
      .catch((error) => this.#onProgress(`the tools could not be read: ${messageOf(error)}`))
      .finally(() => {
        this.#isSyncing = false;
      });
  }

  /** No program fails because what it has shown could not be kept. */
  async #learn(results: LearnedResults): Promise<void> {
    for (const [server, tools] of results.byServer) {
      try {
        await this.#tools.catalog.learn(server, tools);
      } catch (error) {
        this.#log.warn({ server }, `The types of results could not be kept: ${messageOf(error)}`);
      }
    }
  }

  async #close(): Promise<void> {
    try {
      await this.#cleanup.run();
    } finally {
      // Also when something could not be let go of: whoever waits for an execution must not wait for ever.
      await this.#settled();
      for (const { executions } of this.#customers.values()) executions.close();
    }
  }

  async #settled(): Promise<void> {
    await Promise.all(this.#customers.values().map(({ executions }) => executions.settled()));
  }
}

/** Throws `invalid_config` for a number of files alone: only a file system of one's own can count them. */
function workspaceCapacity({ capacityBytes, inodes }: WorkspaceConfig): CapacityLimits | undefined {
  if (capacityBytes !== undefined) return { bytes: capacityBytes, inodes };
  if (inodes === undefined) return undefined;
  throw new WorkcellError('invalid_config', 'workspace.inodes is set without workspace.capacity; set that, too');
}
