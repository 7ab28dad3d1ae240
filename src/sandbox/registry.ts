import { randomUUID } from 'node:crypto';
import { WorkcellError } from '../core/errors.ts';
import { isUnrestricted, type Principal } from '../core/principal.ts';
import type { CreateSandboxRequest, Page, SandboxResponse, SandboxStatus } from '../protocol/rest.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import type { EventLog } from './event-log.ts';
import { partSecrets } from './guest-secrets.ts';
import { toGuestSpec } from './guest-spec.ts';
import { isCounted } from './lifecycle.ts';
import { Sandbox, type SandboxContext } from './sandbox.ts';
import type { SandboxRecord, SandboxStore } from './sandbox-store.ts';
import { generateSlug } from './slug.ts';
import type { SpecReader } from './spec-view.ts';
import type { UsageLedger } from './usage-ledger.ts';

export interface RegistryOptions extends Omit<SandboxContext, 'save' | 'onStatus' | 'onRunEnd'> {
  readonly store: SandboxStore;
  readonly events: EventLog;
  readonly usage: UsageLedger;
  /** Sandboxes that an organisation may have in all states together. */
  readonly maxSandboxes: number;
}

export interface ListOptions {
  readonly cursor?: string | undefined;
  readonly limit: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly reader?: SpecReader;
}

export interface Renaming {
  readonly name?: string | null | undefined;
  readonly slug?: string | null | undefined;
}

/** A client that has stopped an ephemeral sandbox looks whether it has stopped: it finds that out, and not that there is none. */
const DEPARTED_FOR_MS = 10_000;

/**
 * All sandboxes of a server. Each belongs to an organisation, and a principal sees those of its own only; what it does not
 * see does not exist for it. An administrator sees all.
 */
export class SandboxRegistry implements AsyncDisposable {
  readonly #options: RegistryOptions;
  readonly #context: SandboxContext;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #removing = new Map<Sandbox, Promise<void>>();
  /** Ephemeral ones that have ended: gone from listings, and their names are free. */
  readonly #departed = new Set<Sandbox>();
  #sequence = 0;
  #closing = false;

  private constructor(options: RegistryOptions) {
    this.#options = options;
    this.#context = {
      ...options,
      // Nothing is written of a sandbox that has left the table: its file must not come back.
      save: (record) => (this.#sandboxes.has(record.id) ? options.store.save(record) : Promise.resolve()),
      onStatus: (sandbox, by) => this.#onStatus(sandbox, by),
      onRunEnd: (record, startedAt) => options.usage.finish(record, startedAt),
    };
  }

  /** Sandboxes that an organisation may have in all states together. */
  get maxSandboxes(): number {
    return this.#options.maxSandboxes;
  }

  /** Takes over what an earlier process has left: guests that can be adopted run on, others are shown as `failed`. */
  static async open(options: RegistryOptions): Promise<SandboxRegistry> {
    const registry = new SandboxRegistry(options);
    const records = await options.store.load();
    for (const record of records) {
      registry.#sequence = record.sequence;
      registry.#sandboxes.set(record.id, new Sandbox(record, registry.#context));
    }
    await Promise.all([...registry.#sandboxes.values()].map((sandbox) => sandbox.resume()));
    return registry;
  }

  /**
   * Resolves when the sandbox cannot be lost any more. Throws `already_exists`, `quota_exceeded`, `forbidden` for bind mounts of
   * who is no administrator, and `unsupported` for what no guest of this server can be given.
   */
  async create(principal: Principal, request: CreateSandboxRequest): Promise<Sandbox> {
    if (this.#closing) throw new WorkcellError('invalid_state', 'This server is shutting down');
    if (!isUnrestricted(principal) && request.mounts.some(({ type }) => type === 'bind'))
      throw new WorkcellError('forbidden', 'Only an administrator may mount folders of the host; use a named volume');
    this.#assertNameIsFree(principal.org.id, request.name);
    if (request.slug) this.#assertSlugIsFree(request.slug);
    this.#assertOrganisationHasRoom(principal.org.id);
    this.#assertRoom(principal.keyId, principal.maxSandboxes);
    const parts = partSecrets(request);
    const sandbox = new Sandbox(this.#newRecord(principal, parts.request), this.#context, parts.values);
    // Reserved before anything is awaited, so that of two requests for one name, or one place, only one can win.
    this.#sandboxes.set(sandbox.id, sandbox);
    try {
      await toGuestSpec(sandbox.record, this.#options, parts.values);
      await this.#options.store.save(sandbox.record);
    } catch (error) {
      this.#sandboxes.delete(sandbox.id);
      throw error;
    }
    this.#event('sandbox_created', sandbox, principal);
    return sandbox;
  }

  /** Throws `not_found`. */
  get(principal: Principal, id: string): Sandbox {
    const sandbox = this.#sandboxes.get(id) ?? this.#departed.values().find((each) => each.id === id);
    return sandbox !== undefined && sees(principal, sandbox) ? sandbox : notFound();
  }

  /** A name is unique within an organisation; an administrator's own comes first. Throws `not_found`. */
  getByName(principal: Principal, name: string): Sandbox {
    const isNamed = ({ record }: Sandbox) => record.name === name;
    const isOwn = (sandbox: Sandbox) => isNamed(sandbox) && sandbox.record.orgId === principal.org.id;
    const own = this.#findByName(principal.org.id, name) ?? [...this.#departed].findLast(isOwn);
    if (own !== undefined || principal.role !== 'administrator') return own ?? notFound();
    return this.#sandboxes.values().find(isNamed) ?? notFound();
  }

  /** In the order of creation. Throws `invalid_argument` for a cursor that is none. */
  list(principal: Principal, { cursor, limit, labels, reader }: ListOptions): Page<SandboxResponse> {
    const after = cursor === undefined ? 0 : decodeCursor(cursor);
    const found = this.visibleTo(principal).filter(
      ({ record }) =>
        record.sequence > after && Object.entries(labels).every(([key, value]) => record.request.labels[key] === value),
    );
    const page = found.slice(0, limit);
    const last = page.at(-1);
    const more = found.length > limit;
    return {
      data: page.map((sandbox) => sandbox.describe(reader)),
      has_more: more,
      next_cursor: more && last !== undefined ? encodeCursor(last.record.sequence) : null,
    };
  }

  countByState(): Readonly<Record<SandboxStatus, number>> {
    const counts = { ...NONE };
    for (const { status } of this.#sandboxes.values()) counts[status] += 1;
    return counts;
  }

  /** In the order of creation. */
  visibleTo(principal: Principal): Sandbox[] {
    return [...this.#sandboxes.values()].filter((sandbox) => sees(principal, sandbox));
  }

  /** Throws `already_exists`. */
  async rename(principal: Principal, sandbox: Sandbox, { name, slug }: Renaming): Promise<void> {
    const { record } = sandbox;
    if (name && name !== record.name) this.#assertNameIsFree(record.orgId, name);
    if (slug && slug !== record.slug) this.#assertSlugIsFree(slug);
    await sandbox.rename({ name: name ?? record.name, slug: slug ?? record.slug });
    this.#event('sandbox_updated', sandbox, principal);
  }

  /** Begins to start it. Throws `invalid_state`, `quota_exceeded`, and `not_found` when it was deleted meanwhile. */
  start(principal: Principal, sandbox: Sandbox): void {
    if (!this.#sandboxes.has(sandbox.id) || this.#removing.has(sandbox)) notFound();
    if (this.#closing) throw new WorkcellError('invalid_state', 'This server is shutting down');
    const { key } = sandbox.record;
    if (!isCounted(sandbox.status)) this.#assertRoom(key?.id, key?.maxSandboxes);
    sandbox.start(principal);
  }

  /** Stops the sandbox if it runs, and forgets it. Asked again meanwhile, it is the same removal. */
  remove(principal: Principal, sandbox: Sandbox): Promise<void> {
    const removing = this.#removing.get(sandbox) ?? this.#remove(principal, sandbox);
    this.#removing.set(sandbox, removing);
    const done = () => this.#removing.delete(sandbox);
    removing.then(done, done);
    return removing;
  }

  async #remove(principal: Principal, sandbox: Sandbox): Promise<void> {
    await sandbox.end(principal);
    await this.#forget(sandbox, principal);
    this.#departed.delete(sandbox);
  }

  /** Ends every guest. What is kept can be started again by the next server. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    await Promise.allSettled([...this.#sandboxes.values()].map((sandbox) => sandbox.end()));
    await Promise.allSettled([...this.#sandboxes.values()].map(({ record }) => this.#options.store.save(record)));
    await Promise.all([this.#options.events.flushed(), this.#options.usage.flushed()]);
  }

  #onStatus(sandbox: Sandbox, by: Principal | undefined): void {
    const { status, failure, request } = sandbox.record;
    const type = EVENTS[status];
    if (type !== undefined) this.#event(type, sandbox, by, failure === null ? {} : { message: failure });
    const isOver = status === 'stopped' || status === 'failed';
    if (!isOver || !request.lifecycle.ephemeral) return;
    this.#departed.add(sandbox);
    setTimeout(() => this.#departed.delete(sandbox), DEPARTED_FOR_MS).unref();
    void this.#forget(sandbox, by).catch(() => {});
  }

  async #forget(sandbox: Sandbox, by: Principal | undefined): Promise<void> {
    if (!this.#sandboxes.delete(sandbox.id)) return;
    this.#event('sandbox_deleted', sandbox, by);
    await this.#options.store.remove(sandbox.id);
  }

  #newRecord(principal: Principal, request: CreateSandboxRequest): SandboxRecord {
    const { keyId, maxSandboxes, org } = principal;
    this.#sequence += 1;
    return {
      v: 1,
      id: randomUUID(),
      orgId: org.id,
      ...(keyId !== undefined && maxSandboxes !== undefined ? { key: { id: keyId, maxSandboxes } } : {}),
      sequence: this.#sequence,
      request,
      name: request.name,
      slug: request.slug ?? generateSlug((slug) => this.#hasSlug(slug)),
      status: 'created',
      createdAt: new Date().toISOString(),
      startedAt: null,
      stoppedAt: null,
      activeAt: null,
      failure: null,
    };
  }

  #assertNameIsFree(orgId: string, name: string): void {
    if (this.#findByName(orgId, name) !== undefined)
      throw new WorkcellError('already_exists', `A sandbox named "${name}" exists already`);
  }

  #assertSlugIsFree(slug: string): void {
    if (this.#hasSlug(slug)) throw new WorkcellError('already_exists', `The slug "${slug}" is taken`);
  }

  /** Sandboxes count from their creation until they have stopped or failed. */
  #assertRoom(keyId: string | undefined, limit: number | undefined): void {
    if (keyId === undefined || limit === undefined) return;
    const used = this.#sandboxes.values().filter((each) => each.record.key?.id === keyId && isCounted(each.status));
    if ([...used].length < limit) return;
    throw new WorkcellError('quota_exceeded', `This key may have ${limit} sandboxes at a time; stop or delete one`, {
      details: { limit },
    });
  }

  /** What has stopped takes memory and disk of the server, too. */
  #assertOrganisationHasRoom(orgId: string): void {
    const { maxSandboxes: limit } = this.#options;
    const own = this.#sandboxes.values().filter(({ record }) => record.orgId === orgId);
    if ([...own].length < limit) return;
    throw new WorkcellError('quota_exceeded', `This organisation may keep ${limit} sandboxes; delete one`, {
      details: { limit },
    });
  }

  #findByName(orgId: string, name: string): Sandbox | undefined {
    return this.#sandboxes.values().find(({ record }) => record.orgId === orgId && record.name === name);
  }

  #hasSlug(slug: string): boolean {
    return this.#sandboxes.values().some(({ record }) => record.slug === slug);
  }

  #event(type: string, { record }: Sandbox, by: Principal | undefined, more: Record<string, unknown> = {}): void {
    const payload = { sandbox_id: record.id, name: record.name, slug: record.slug, ...more };
    this.#options.events.append({ orgId: record.orgId, category: 'sandbox', type, by, payload });
  }
}

const NONE: Readonly<Record<SandboxStatus, number>> = {
  created: 0,
  starting: 0,
  running: 0,
  stopping: 0,
  stopped: 0,
  failed: 0,
};

const EVENTS: Readonly<Partial<Record<SandboxRecord['status'], string>>> = {
  running: 'sandbox_started',
  stopped: 'sandbox_stopped',
  failed: 'sandbox_failed',
};

function sees(principal: Principal, { record }: Sandbox): boolean {
  return principal.role === 'administrator' || record.orgId === principal.org.id;
}

function notFound(): never {
  throw new WorkcellError('not_found', 'There is no such sandbox');
}
