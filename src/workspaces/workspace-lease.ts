/**
 * Which of several servers on shared storage owns a customer.
 *
 * What it defends: two servers that both believe to own a customer would write the same logs and files. Each time that a customer
 * changes hands a larger token is made: a record under its number in a folder, linked into place, which succeeds for one server
 * only, also over NFS. The largest is the one that holds. An owner renews its record; when it cannot, or was stopped for too
 * long, it gives up before anybody else takes over. Its margin, and the patience of the others, are a fifth of the lease each, so
 * clocks may differ by up to a fifth of it.
 *
 * A check and the write after it are two steps, and a process can be stopped between them. So what must never hold something of a
 * former owner is fenced by the token itself; see `sessions/log-file.ts`.
 */
import { WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import type { Fence } from '../util/fenced-lock.ts';
import { Turns } from '../util/turns.ts';
import { type LeaseRecord, LeaseRecords } from './lease-records.ts';

export interface WorkspaceLeaseOptions {
  readonly customer: CustomerId;
  /** Holds the records; made on first use. */
  readonly folder: string;
  /** Tells this server from all others, and from itself before a restart. */
  readonly owner: string;
  /** Milliseconds for which a record is good. */
  readonly ttlMs: number;
  /** Called when the customer has been lost while it was in use; ends what still works for it. */
  readonly onLost: () => void;
  /** Called with the tokens of former owners when the customer has been taken. */
  readonly onTaken?: ((former: readonly number[]) => Promise<void>) | undefined;
}

/** Of the time to live: what an owner gives up early, and what others wait longer. */
const MARGIN = 0.2;
const RENEWALS = 3;
const MAX_ATTEMPTS = 10;

interface Tenure {
  readonly token: number;
  /** By the clock that nobody sets, and by the one that a suspended machine does not stop. */
  untilTick: number;
  untilTime: number;
  users: number;
  isLost: boolean;
  timer?: NodeJS.Timeout;
}

export class WorkspaceLease {
  readonly #options: WorkspaceLeaseOptions;
  readonly #records: LeaseRecords;
  readonly #turns = new Turns();
  #tenure: Tenure | undefined;
  #rival: { readonly record: string; readonly sinceTick: number } | undefined;

  constructor(options: WorkspaceLeaseOptions) {
    this.#options = options;
    this.#records = new LeaseRecords(options.customer, options.folder);
  }

  /** Takes the customer, or goes on having it. Throws `busy`, with `retryAfterMs` in its details, while another server owns it. */
  hold(): Promise<Fence> {
    return this.#turns.take(async () => {
      // One that ran out while this process stood still may have been somebody else's meanwhile.
      if (this.#tenure !== undefined && !isHeld(this.#tenure)) this.#lose(this.#tenure);
      const tenure = this.#tenure ?? (await this.#take());
      tenure.users += 1;
      let isOver = false;
      return {
        token: tenure.token,
        assertHeld: () => this.#assertHeld(tenure),
        [Symbol.asyncDispose]: async () => {
          if (!isOver) tenure.users -= 1;
          isOver = true;
        },
      };
    });
  }

  /** Lets another server have the customer at once. Nobody may be using it. */
  close(): Promise<void> {
    return this.#turns.take(() => this.#release());
  }

  async #take(): Promise<Tenure> {
    const records = this.#records;
    await records.open();
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const tokens = await records.tokens();
      const last = tokens.at(-1);
      if (last !== undefined) await this.#assertFree(last);
      const [tick, time] = [performance.now(), Date.now()];
      const token = (last ?? 0) + 1;
      if (!(await records.place(this.#record(token, time)))) continue;
      // Others may have come and gone since the tokens were listed.
      if ((await records.tokens()).at(-1) !== token) {
        await records.remove(token);
        continue;
      }
      for (const old of tokens) await records.remove(old);
      await records.removeDrafts();
      await this.#options.onTaken?.(tokens);
      const tenure: Tenure = { token, ...this.#until(tick, time), users: 0, isLost: false };
      this.#tenure = tenure;
      this.#renewLater(tenure);
      return tenure;
    }
    throw new WorkcellError('busy', `Several servers want customer "${this.#options.customer}" at once; try again`);
  }

  async #assertFree(token: number): Promise<void> {
    const { customer, owner } = this.#options;
    const record = await this.#records.find(token);
    if (record === undefined || record.owner === owner || record.expires === 0) return;
    const leftMs = record.expires - Date.now();
    const retryAfterMs = Math.ceil(Math.min(leftMs, this.#leftOfWatchMs(record)) + record.ttlMs * MARGIN);
    if (retryAfterMs <= 0) return;
    throw new WorkcellError('busy', `Customer "${customer}" is served by another server; send the request there`, {
      details: { retryAfterMs },
    });
  }

  /** Who had a wrong clock may have left a record that lasts for years, but has not renewed it since it was first seen. */
  #leftOfWatchMs(record: LeaseRecord): number {
    const text = JSON.stringify(record);
    if (this.#rival?.record !== text) this.#rival = { record: text, sinceTick: performance.now() };
    return this.#rival.sinceTick + record.ttlMs - performance.now();
  }

  #renewLater(tenure: Tenure): void {
    const delay = this.#options.ttlMs / RENEWALS;
    tenure.timer = setTimeout(() => void this.#turns.take(() => this.#renew(tenure)), delay).unref();
  }

  /** One that nobody uses is let go instead. */
  async #renew(tenure: Tenure): Promise<void> {
    if (this.#tenure !== tenure) return;
    if (!isHeld(tenure)) return this.#lose(tenure);
    if (tenure.users === 0) return await this.#release().catch(() => {});
    const [tick, time] = [performance.now(), Date.now()];
    try {
      await this.#records.replace(this.#record(tenure.token, time));
      // What was written late does no harm: a larger token is there then.
      if ((await this.#records.tokens()).at(-1) !== tenure.token) return this.#lose(tenure);
      Object.assign(tenure, this.#until(tick, time));
    } catch {
      // The storage may come back before the time is up.
    }
    this.#renewLater(tenure);
  }

  async #release(): Promise<void> {
    const tenure = this.#tenure;
    this.#tenure = undefined;
    clearTimeout(tenure?.timer);
    if (tenure === undefined || !isHeld(tenure)) return;
    tenure.isLost = true;
    await this.#records.replace({ ...this.#record(tenure.token, 0), expires: 0 });
  }

  #assertHeld(tenure: Tenure): void {
    if (isHeld(tenure)) return;
    this.#lose(tenure);
    const { customer } = this.#options;
    throw new WorkcellError(
      'busy',
      `This server has lost customer "${customer}" to another one; send the request there`,
    );
  }

  #lose(tenure: Tenure): void {
    if (tenure.isLost) return;
    tenure.isLost = true;
    clearTimeout(tenure.timer);
    if (this.#tenure === tenure) this.#tenure = undefined;
    if (tenure.users > 0) this.#options.onLost();
  }

  #until(tick: number, time: number): Pick<Tenure, 'untilTick' | 'untilTime'> {
    const good = this.#options.ttlMs * (1 - MARGIN);
    return { untilTick: tick + good, untilTime: time + good };
  }

  #record(token: number, now: number): LeaseRecord {
    const { owner, ttlMs } = this.#options;
    return { owner, token, expires: now + ttlMs, ttlMs };
  }
}

function isHeld({ isLost, untilTick, untilTime }: Tenure): boolean {
  return !isLost && performance.now() < untilTick && Date.now() < untilTime;
}
