import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import { readTextIfExists, writeFileAtomic } from '../util/atomic-file.ts';
import { Deadline } from '../util/deadline.ts';
import { FileLock } from '../util/file-lock.ts';
import { Turns } from '../util/turns.ts';

const fileSchema = z.strictObject({ v: z.literal(1), day: z.iso.date(), cpuMs: z.number().nonnegative() });

const LOCK_TIMEOUT_MS = 10_000;

/**
 * The CPU time that a customer has used today (UTC), in a file that other processes add to, too. What was added is on disk before
 * {@link add} resolves; what is added meanwhile goes with the next write, so that many need few.
 */
export class CpuLedger {
  readonly #path: string;
  readonly #now: () => number;
  readonly #writes = new Turns();
  #day = '';
  /** Takes what is added until it begins. */
  #nextWrite: Promise<void> | undefined;
  /** On disk, as far as this process knows. */
  #written = 0;
  #pending = 0;

  /** `now`: milliseconds since the epoch. */
  constructor(path: string, now: () => number = Date.now) {
    this.#path = path;
    this.#now = now;
  }

  /** Milliseconds of today. */
  get usedMs(): number {
    this.#turnDay();
    return this.#written + this.#pending;
  }

  /** Milliseconds until the next day. */
  get leftOfDayMs(): number {
    return Date.parse(this.#today()) + DAY_MS - this.#now();
  }

  /** Reads what is on disk. Throws `storage_failed` for a damaged file: nobody's limit is forgotten silently. */
  async load(): Promise<void> {
    const cpuMs = await this.#read();
    this.#turnDay();
    this.#written = cpuMs;
  }

  /** Counts at once; resolves when it is on disk. */
  async add(ms: number): Promise<void> {
    this.#turnDay();
    this.#pending += ms;
    this.#nextWrite ??= this.#writes.take(() => {
      this.#nextWrite = undefined;
      return this.#write();
    });
    await this.#nextWrite;
  }

  async #write(): Promise<void> {
    using deadline = new Deadline('Waiting for the usage of a customer', LOCK_TIMEOUT_MS);
    await using _lock = await FileLock.wait(
      { path: `${this.#path}.lock`, what: 'The usage of the customer' },
      deadline,
    );
    const before = await this.#read();
    this.#turnDay();
    const added = this.#pending;
    const cpuMs = before + added;
    const day = this.#day;
    await writeFileAtomic(this.#path, `${JSON.stringify({ v: 1, day, cpuMs })}\n`, 0o600);
    if (day !== this.#day) return;
    this.#written = cpuMs;
    this.#pending -= added;
  }

  async #read(): Promise<number> {
    const text = await readTextIfExists(this.#path);
    if (text === undefined) return 0;
    try {
      const { day, cpuMs } = fileSchema.parse(JSON.parse(text));
      return day === this.#today() ? cpuMs : 0;
    } catch (cause) {
      const message = 'The record of the CPU time that a customer has used today is damaged; delete its "cpu.json"';
      throw new WorkcellError('storage_failed', message, { cause });
    }
  }

  #turnDay(): void {
    const today = this.#today();
    if (today === this.#day) return;
    this.#day = today;
    this.#written = 0;
    this.#pending = 0;
  }

  #today(): string {
    return new Date(this.#now()).toISOString().slice(0, 10);
  }
}

const DAY_MS = 24 * 60 * 60_000;
