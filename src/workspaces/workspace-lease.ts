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
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import { errnoOf, succeeds } from '../util/errno.ts';
import type { Fence } from '../util/fenced-lock.ts';
import { syncFolder } from '../util/sync-folder.ts';
import { Turns } from '../util/turns.ts';

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

const recordSchema = z.object({
  owner: z.string(),
  token: z.int().positive(),
  /** Milliseconds since 1970; 0: it was let go. */
  expires: z.number(),
});

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
  readonly #turns = new Turns();
  #tenure: Tenure | undefined;

  constructor(options: WorkspaceLeaseOptions) {
    this.#options = options;
  }

  /** Takes the customer, or goes on having it. Throws `busy`, with `retryAfterMs` in its details, while another server owns it. */
  hold(): Promise<Fence> {
    return this.#turns.take(async () => {
      const known = this.#tenure;
      const tenure = known !== undefined && isHeld(known) ? known : await this.#take();
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
    const { folder } = this.#options;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const tokens = await this.#tokens();
      const last = tokens.at(-1);
      if (last !== undefined) await this.#assertFree(last);
      const [tick, time] = [performance.now(), Date.now()];
      const token = (last ?? 0) + 1;
      if (!(await this.#place(token, time))) continue;
      // Others may have come and gone since the tokens were listed.
      if ((await this.#tokens()).at(-1) !== token) {
        await succeeds(unlink(this.#pathOf(token)), ['ENOENT']);
        continue;
      }
      for (const old of tokens) await succeeds(unlink(this.#pathOf(old)), ['ENOENT']);
      await this.#options.onTaken?.(tokens);
      const tenure: Tenure = { token, ...this.#until(tick, time), users: 0, isLost: false };
      this.#tenure = tenure;
      this.#renewLater(tenure);
      return tenure;
    }
    throw new WorkcellError('busy', `Several servers want customer "${this.#options.customer}" at once; try again`);
  }

  /** False when another server was quicker. */
  async #place(token: number, now: number): Promise<boolean> {
    const draft = await this.#draft(token, now + this.#options.ttlMs);
    try {
      return await succeeds(link(draft, this.#pathOf(token)), ['EEXIST']);
    } finally {
      await unlink(draft);
      await syncFolder(this.#options.folder);
    }
  }

  async #assertFree(token: number): Promise<void> {
    const { customer, owner, ttlMs } = this.#options;
    const record = await this.#read(token);
    if (record === undefined || record.owner === owner) return;
    const retryAfterMs = Math.ceil(record.expires + ttlMs * MARGIN - Date.now());
    if (record.expires === 0 || retryAfterMs <= 0) return;
    throw new WorkcellError('busy', `Customer "${customer}" is served by another server; send the request there`, {
      details: { retryAfterMs },
    });
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
      await rename(await this.#draft(tenure.token, time + this.#options.ttlMs), this.#pathOf(tenure.token));
      await syncFolder(this.#options.folder);
      // What was written late does no harm: a larger token is there then.
      if ((await this.#tokens()).at(-1) !== tenure.token) return this.#lose(tenure);
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
    await rename(await this.#draft(tenure.token, 0), this.#pathOf(tenure.token));
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

  async #draft(token: number, expires: number): Promise<string> {
    const { owner, folder } = this.#options;
    const path = join(folder, `.${randomBytes(8).toString('hex')}`);
    await using file = await open(path, 'wx', 0o600);
    await file.writeFile(JSON.stringify({ owner, token, expires }));
    await file.sync();
    return path;
  }

  /** Undefined for one that is gone: there is a larger one. */
  async #read(token: number): Promise<z.infer<typeof recordSchema> | undefined> {
    try {
      return recordSchema.parse(JSON.parse(await readFile(this.#pathOf(token), 'utf8')));
    } catch (cause) {
      if (errnoOf(cause) === 'ENOENT') return undefined;
      const message = `The lease of customer "${this.#options.customer}" cannot be read; restore or delete its folder ".lease"`;
      throw new WorkcellError('storage_failed', message, { cause });
    }
  }

  /** Ascending. */
  async #tokens(): Promise<readonly number[]> {
    const names = await readdir(this.#options.folder);
    return names.flatMap((name) => (/^\d{1,15}$/.test(name) ? [Number(name)] : [])).sort((a, b) => a - b);
  }

  #pathOf(token: number): string {
    return join(this.#options.folder, String(token));
  }
}

function isHeld({ isLost, untilTick, untilTime }: Tenure): boolean {
  return !isLost && performance.now() < untilTick && Date.now() < untilTime;
}
