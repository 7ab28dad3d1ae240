import { appendFile, mkdir, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { z } from 'zod';
import { readTextIfExists, writeFileAtomic } from '../util/atomic-file.ts';
import { encodeJsonLine, readJsonLines } from '../util/json-lines.ts';

export interface LedgerOptions<T> {
  /** The file, one entry a line; undefined keeps it in memory only. */
  readonly path: string | undefined;
  readonly schema: z.ZodType<T>;
  /** Entries kept. The file is rewritten when it holds twice as many. */
  readonly maxEntries: number;
}

/** A bounded list that only grows at its end, in memory and in a file. */
export class Ledger<T extends object> {
  readonly #options: LedgerOptions<T>;
  readonly #entries: T[];
  #lines: number;
  #writing: Promise<void> = Promise.resolve();

  private constructor(options: LedgerOptions<T>, entries: T[]) {
    this.#options = options;
    this.#entries = entries;
    this.#lines = entries.length;
  }

  /** Reads what is there. A line that was not written to its end is cut off; throws `storage_failed` for any other damage. */
  static async open<T extends object>(options: LedgerOptions<T>): Promise<Ledger<T>> {
    const { path, schema, maxEntries } = options;
    if (path === undefined) return new Ledger(options, []);
    const text = await readTextIfExists(path);
    if (text === undefined) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      return new Ledger(options, []);
    }
    await truncate(path, Buffer.byteLength(text.slice(0, text.lastIndexOf('\n') + 1)));
    const entries: T[] = [];
    for await (const { value } of readJsonLines(path, 'a list of the server')) entries.push(schema.parse(value));
    const ledger = new Ledger(options, entries);
    ledger.#trim(maxEntries);
    return ledger;
  }

  /** Oldest first. */
  get entries(): readonly T[] {
    return this.#entries;
  }

  /** Is in {@link entries} at once, and in the file soon; {@link flushed} tells when. */
  append(entry: T): void {
    this.#entries.push(entry);
    this.#trim(this.#options.maxEntries);
    const { path } = this.#options;
    if (path === undefined) return;
    const line = encodeJsonLine(entry);
    // A full disk must not keep sandboxes from ending; what it cost is missing from the file, not from memory.
    this.#writing = this.#writing.then(() => this.#write(path, line)).catch(() => {});
  }

  /** Everything that was appended so far has been written, or cannot be. */
  flushed(): Promise<void> {
    return this.#writing;
  }

  async #write(path: string, line: Buffer): Promise<void> {
    this.#lines += 1;
    if (this.#lines <= 2 * this.#options.maxEntries) return appendFile(path, line, { mode: 0o600 });
    await writeFileAtomic(path, Buffer.concat(this.#entries.map(encodeJsonLine)), 0o600);
    this.#lines = this.#entries.length;
  }

  #trim(max: number): void {
    if (this.#entries.length > max) this.#entries.splice(0, this.#entries.length - max);
  }
}
