import { join } from 'node:path';
import type { Logger } from 'pino';
import { Approvals } from '../catalog/approvals.ts';
import { serverVersions } from '../catalog/server-versions.ts';
import { ToolCatalog } from '../catalog/tool-catalog.ts';
import type { Config } from '../config/config.ts';
import { messageOf, WorkcellError } from '../core/errors.ts';
import { schemaHash } from '../core/schema-hash.ts';
import { isCredentialMissing } from '../upstream/call-failure.ts';
import { CredentialStore } from '../upstream/credential-store.ts';
import { type ServerStatus, UpstreamHub } from '../upstream/upstream-hub.ts';
import { Deadline } from '../util/deadline.ts';
import { KeyedTurns } from '../util/keyed-turns.ts';
import { FailureMemory } from './failure-memory.ts';
import { leftOut, type SyncReport, syncServer, type ToolsLeftOut } from './sync-server.ts';

export interface UpstreamToolsOptions {
  readonly config: Pick<Config, 'mcpServers' | 'paths' | 'tools'>;
  readonly log: Pick<Logger, 'warn'>;
  /** Told when the catalog holds other tools than before. */
  readonly onChanged: () => void;
}

interface Parts {
  readonly hub: UpstreamHub;
  readonly catalog: ToolCatalog;
  readonly approvals: Approvals;
  readonly versions: ReadonlyMap<string, string>;
}

/** How one server stands, asked just now. */
export type ServerReport = ServerStatus & { readonly log?: string | undefined } & (
    | ({ readonly ok: true; readonly tools: number } & ToolsLeftOut)
    | { readonly ok: false; readonly error: WorkcellError }
  );

const SYNC_TIMEOUT_MS = 60_000;
/** Servers tell of each of many changes; the list is read when they have been quiet for so long. */
const SETTLE_MS = 100;
/** How often it is looked for what other processes have written. */
const LOOK_EVERY_MS = 2_000;

/** The upstream servers with the catalog of their tools, which follows what they say, and what other processes write of them. */
export class UpstreamTools implements AsyncDisposable {
  readonly hub: UpstreamHub;
  readonly catalog: ToolCatalog;
  readonly #options: UpstreamToolsOptions;
  readonly #approvals: Approvals;
  readonly #failures: FailureMemory;
  readonly #turns = new KeyedTurns();
  readonly #settling = new Map<string, NodeJS.Timeout>();
  readonly #following = new Set<Promise<void>>();
  readonly #closed = new AbortController();
  #versions: ReadonlyMap<string, string>;
  #nextLook: NodeJS.Timeout | undefined;

  /** Throws `invalid_state` when the approvals of a server with a quarantine cannot be read. */
  static async open(options: UpstreamToolsOptions): Promise<UpstreamTools> {
    const { mcpServers, paths } = options.config;
    const names = Object.keys(mcpServers).filter((name) => mcpServers[name]?.quarantine === true);
    const versions = await serverVersions(paths.servers);
    const approvals = await Approvals.open({ servers: paths.servers, names });
    const folder = stateFolder(paths);
    const credentials = openCredentialStore(options.config);
    // Made in this order, each with what comes before; the hub tells of changes only when it is asked for something.
    let followChange: (server: string) => void = () => {};
    const hub = new UpstreamHub({
      servers: mcpServers,
      folder,
      approvedHash: (server, tool) => approvals.find(server, tool),
      credential: (customer, key) => credentials.find(customer === undefined ? 'default' : { customer }, key),
      onProblem: (server, error) => options.log.warn({ server, code: error.code }, error.message),
      onToolsChanged: (server) => followChange(server),
    });
    const { observed } = options.config.tools;
    const catalog = await ToolCatalog.open({ servers: paths.servers, observed, refusal: (tool) => hub.refusal(tool) });
    // A quarantine that is switched on later takes what is known for approved.
    for (const server of catalog.servers()) {
      if (server.status === 'ready' && names.includes(server.name))
        await approvals.approveFirst(server.name, server.tools);
    }
    const tools = new UpstreamTools(options, { hub, catalog, approvals, versions });
    followChange = (server) => tools.#follow(server);
    tools.#lookLater();
    return tools;
  }

  private constructor(options: UpstreamToolsOptions, { hub, catalog, approvals, versions }: Parts) {
    this.#options = options;
    this.hub = hub;
    this.catalog = catalog;
    this.#approvals = approvals;
    this.#versions = versions;
    const { mcpServers, paths } = options.config;
    this.#failures = new FailureMemory({ path: join(stateFolder(paths), 'failures.json'), servers: mcpServers });
  }

  /** Writes the tools of these servers as modules; default: of all. A server that is down is in the reports; it stops no other. */
  async sync(servers: readonly string[] = this.hub.servers): Promise<readonly SyncReport[]> {
    const reports = await Promise.all(servers.map((server) => this.#turns.take(server, () => this.#syncOne(server))));
    await this.#failures.note(
      // That a credential is missing is found out at once, and may be repaired at any time.
      reports.flatMap((report) => {
        if (report.status === undefined || (!report.ok && isCredentialMissing(report.error))) return [];
        return [{ server: report.server, problem: report.ok ? undefined : report.error.message }];
      }),
    );
    this.#options.onChanged();
    return reports;
  }

  /**
   * Syncs the servers that were configured and never synced: they would look as if they had no tools. One that was down a while
   * ago is not waited for again.
   */
  async syncUnknown(onProgress: (text: string) => void): Promise<void> {
    const known = new Set(this.catalog.servers().map(({ name }) => name));
    const wanted: string[] = [];
    for (const server of this.hub.servers.filter((name) => !known.has(name))) {
      const failure = await this.#failures.find(server);
      if (failure === undefined) wanted.push(server);
      else
        onProgress(
          `${server} was not available a while ago and is left alone; try it with: workcell tools sync ${server}`,
        );
    }
    if (wanted.length === 0) return;
    onProgress(`reading the tools of ${wanted.join(', ')}`);
    for (const report of await this.sync(wanted)) {
      if (!report.ok) onProgress(`${report.server} is not available: ${report.error.message}`);
    }
  }

  /** Asks each server how it is, and writes nothing. */
  async status(servers: readonly string[] = this.hub.servers): Promise<readonly ServerReport[]> {
    return Promise.all(servers.map((server) => this.#statusOf(server)));
  }

  /**
   * Approves what is in quarantine: `server` for all of its tools, `server.tool` for one. Gives the names of the tools that were
   * approved. Throws `not_found` when there is no such server or tool.
   */
  async approve(name: string): Promise<readonly string[]> {
    const [server = ''] = name.split('.', 1);
    await this.#approvals.refresh(server);
    const waiting = this.catalog.hidden().filter(({ refusal }) => refusal.code === 'quarantined');
    const ofServer = waiting.map(({ tool }) => tool).filter((tool) => tool.server === server);
    const tools = name === server ? ofServer : ofServer.filter(({ tool }) => name === `${server}.${tool}`);
    if (tools.length === 0) {
      if (name === server) this.hub.status(server);
      else this.catalog.get(name);
      return [];
    }
    await this.#approvals.approve(server, tools);
    this.catalog.review();
    this.#options.onChanged();
    return tools.map(({ tool }) => `${server}.${tool}`);
  }

  async close(): Promise<void> {
    this.#closed.abort(new WorkcellError('cancelled', 'This Workcell is closed'));
    for (const timer of [this.#nextLook, ...this.#settling.values()]) clearTimeout(timer);
    await this.hub.close();
    await Promise.all(this.#following);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #syncOne(server: string): Promise<SyncReport> {
    const { hub, catalog } = this;
    const approvals = this.#isQuarantined(server) ? this.#approvals : undefined;
    return await syncServer(server, {
      hub,
      catalog,
      approvals,
      timeoutMs: SYNC_TIMEOUT_MS,
      signal: this.#closed.signal,
    });
  }

  async #statusOf(server: string): Promise<ServerReport> {
    const { hub } = this;
    const log = hub.logPath(server);
    using deadline = new Deadline(`Asking MCP server "${server}"`, SYNC_TIMEOUT_MS, { signal: this.#closed.signal });
    try {
      const listing = await hub.inspectTools(server, deadline);
      const out = leftOut(server, listing, hub);
      const callable = listing.tools.length - out.quarantined.length;
      return { ...hub.status(server), log, ok: true, tools: callable, ...out };
    } catch (error) {
      const known = error instanceof WorkcellError ? error : new WorkcellError('internal', messageOf(error));
      return { ...hub.status(server), log, ok: false, error: known };
    }
  }

  /** Syncs the server when it has been quiet for a moment. */
  #follow(server: string): void {
    if (this.#closed.signal.aborted) return;
    clearTimeout(this.#settling.get(server));
    const timer = setTimeout(() => {
      this.#settling.delete(server);
      this.#keep(this.#resync(server));
    }, SETTLE_MS).unref();
    this.#settling.set(server, timer);
  }

  #lookLater(): void {
    if (this.#closed.signal.aborted) return;
    const look = () => this.#keep(this.#look().finally(() => this.#lookLater()));
    this.#nextLook = setTimeout(look, LOOK_EVERY_MS).unref();
  }

  /** Takes over what other processes have synced and approved. */
  async #look(): Promise<void> {
    const { paths } = this.#options.config;
    try {
      const versions = await serverVersions(paths.servers);
      const names = new Set([...this.#versions.keys(), ...versions.keys()]);
      const changed = [...names].filter((name) => versions.get(name) !== this.#versions.get(name));
      this.#versions = versions;
      const isNew = await Promise.all(changed.map((server) => this.#turns.take(server, () => this.#reload(server))));
      if (isNew.includes(true)) this.#options.onChanged();
    } catch (error) {
      this.#options.log.warn({}, `What was written of the tools cannot be read: ${messageOf(error)}`);
    }
  }

  /** Whether that are other tools than before. */
  async #reload(server: string): Promise<boolean> {
    const before = this.#hashes(server);
    if (this.#isQuarantined(server)) await this.#approvals.refresh(server);
    await this.catalog.reload(server);
    return this.#hashes(server) !== before;
  }

  /** Is waited for by {@link close}. */
  #keep(work: Promise<void>): void {
    const following = work.finally(() => this.#following.delete(following));
    this.#following.add(following);
  }

  #isQuarantined(server: string): boolean {
    return this.#options.config.mcpServers[server]?.quarantine === true;
  }

  async #resync(server: string): Promise<void> {
    const before = this.#hashes(server);
    const report = await this.#turns.take(server, () => this.#syncOne(server));
    if (this.#closed.signal.aborted) return;
    if (!report.ok) {
      const { code, message } = report.error;
      this.#options.log.warn({ server, code }, `The tools of "${server}" have changed and cannot be read: ${message}`);
    } else if (this.#hashes(server) !== before) this.#options.onChanged();
  }

  #hashes(server: string): string {
    const tools = this.catalog.list().filter((tool) => tool.server === server);
    return tools.map(schemaHash).join();
  }
}

/** What belongs to upstream servers on this host: logs, credentials, folders of customers. */
export function stateFolder(paths: Config['paths']): string {
  return join(paths.workspaces, '.upstream');
}

/** The credentials of customers of this configuration; it may be in use or not. */
export function openCredentialStore(config: Pick<Config, 'paths'>): CredentialStore {
  return new CredentialStore({ folder: stateFolder(config.paths) });
}

export type { CredentialOwner } from '../upstream/credential-store.ts';
