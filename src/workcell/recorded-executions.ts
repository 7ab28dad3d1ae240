import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { CustomerId, ExecutionId } from '../core/ids.ts';
import type { StoredEvent } from '../sessions/events.ts';
import { type ExecutionHistory, type HistoryOwner, readHistory } from '../sessions/execution-history.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import type { SessionStore } from '../sessions/session-store.ts';

export interface RecordedExecutionsOptions {
  readonly customer: CustomerId;
  /** The customer's sessions; undefined when there are none. */
  readonly sessions: () => Promise<SessionStore | undefined>;
}

/** Where an execution is on disk. */
export interface RecordedPlace {
  readonly owner: HistoryOwner;
  /** What is there at this moment, oldest first. */
  readonly events: () => Promise<AsyncIterable<StoredEvent>>;
  /** Bytes of its session; undefined when that was deleted. */
  readonly size: () => Promise<number | undefined>;
  /** To write to. Throws `busy` when another process has the session open, and `history_gone` when it was deleted. */
  readonly open: () => Promise<SessionLog>;
}

/** The executions of one customer that are on disk, whoever ran them. */
export class RecordedExecutions {
  readonly #customer: CustomerId;
  readonly #sessions: RecordedExecutionsOptions['sessions'];

  constructor(options: RecordedExecutionsOptions) {
    this.#customer = options.customer;
    this.#sessions = options.sessions;
  }

  /**
   * Undefined when there never was one. Throws `history_gone` when its session was deleted, and `storage_failed` when it may be in
   * one that cannot be read: who takes it for unknown would run it twice.
   */
  async find(id: ExecutionId): Promise<ExecutionHistory | undefined> {
    const place = await this.#findPlace(id);
    if (place !== undefined) return await readHistory(place.owner, await place.events());
    const unreadable = await this.#unreadable();
    if (unreadable.length === 0) return undefined;
    throw new WorkcellError(
      'storage_failed',
      `Cannot tell whether the execution "${id}" is known, since these sessions cannot be read: ${unreadable.join(', ')}; delete them, or leave the id out`,
    );
  }

  /** Throws `not_found`, and `history_gone` when its session was deleted. */
  async get(id: ExecutionId): Promise<ExecutionHistory> {
    const place = await this.place(id);
    return await readHistory(place.owner, await place.events());
  }

  /** Throws as {@link get} does. */
  async place(id: ExecutionId): Promise<RecordedPlace> {
    const place = await this.#findPlace(id);
    if (place !== undefined) return place;
    const unreadable = await this.#unreadable();
    const but = unreadable.length === 0 ? '' : `; these sessions cannot be read: ${unreadable.join(', ')}`;
    throw new WorkcellError(
      'not_found',
      `No session of customer "${this.#customer}" has the execution "${id}"${but}; see \`workcell session list\``,
    );
  }

  async #findPlace(id: ExecutionId): Promise<RecordedPlace | undefined> {
    const store = await this.#sessions();
    const found = await store?.locate(id);
    if (store === undefined || found === undefined) return undefined;
    if (found === 'gone') throw gone(id);
    const { session, start } = found;
    return {
      owner: { customer: this.#customer, sessionId: session, executionId: id },
      events: async () => {
        const reader = await store.findReader(session);
        if (reader === undefined) throw gone(id);
        return reader.execution(id, start);
      },
      size: () => store.size(session),
      open: () => store.open(session).catch((error) => rethrow(error, id)),
    };
  }

  async #unreadable(): Promise<readonly string[]> {
    return (await (await this.#sessions())?.unregistered()) ?? [];
  }
}

function rethrow(error: unknown, id: ExecutionId): never {
  throw isWorkcellError(error) && error.code === 'not_found' ? gone(id) : error;
}

function gone(id: ExecutionId): WorkcellError {
  return new WorkcellError('history_gone', `The session with the execution "${id}" was deleted`);
}
