import { dirname, join } from 'node:path';
import { errnoOf } from '../util/errno.ts';
import { type MeasureBudget, measureTree } from '../util/measure-tree.ts';
import { STAGING } from '../workspaces/staging.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';

/** A tree that takes a second to measure is measured every 20 seconds at most. */
const REST = 20;
const ARRIVES_MS = 1_000;
const MAX_ENTRIES = 2_000_000;

/**
 * What the files and skills of a workspace take. Guests write to them at any time, so it is an answer of a moment ago: of
 * as long ago as a large tree needs for not being measured all the time.
 */
export class DiskMeter {
  readonly #workspace: Workspace;
  readonly #now: () => number;
  #measured = 0;
  /** What was admitted since that was measured. */
  #admitted = 0;
  #goodUntil = Number.NEGATIVE_INFINITY;
  #measuredAt = Number.NEGATIVE_INFINITY;
  #measuring: Promise<void> | undefined;

  constructor(workspace: Workspace, now: () => number = () => performance.now()) {
    this.#workspace = workspace;
    this.#now = now;
  }

  /** Bytes, when last looked at, and those admitted since. */
  get bytes(): number {
    return this.#measured + this.#admitted;
  }

  /** Counts bytes that are about to be written. */
  admit(bytes: number): void {
    this.#admitted += bytes;
  }

  /** Measures again, unless it is too early for that. A tree that cannot be measured is larger than everything. */
  async refresh(): Promise<void> {
    if (this.#measuring === undefined && this.#isGood()) return;
    this.#measuring ??= this.#measure().finally(() => {
      this.#measuring = undefined;
    });
    await this.#measuring;
  }

  /** What was admitted a moment ago may not be there yet, and would be missed. */
  #isGood(): boolean {
    const now = this.#now();
    return now < this.#goodUntil || (this.#admitted > 0 && now < this.#measuredAt + ARRIVES_MS);
  }

  #folders(): readonly string[] {
    const { filesPath, skillsPath } = this.#workspace;
    return [filesPath, skillsPath, join(dirname(filesPath), STAGING)];
  }

  async #measure(): Promise<void> {
    const [start, before] = [this.#now(), this.#admitted];
    const budget = { entries: MAX_ENTRIES };
    let bytes = 0;
    for (const folder of this.#folders()) bytes += (await measure(folder, budget)) ?? Number.POSITIVE_INFINITY;
    this.#measured = bytes;
    // What was admitted meanwhile may not have been there yet.
    this.#admitted -= before;
    this.#measuredAt = this.#now();
    this.#goodUntil = this.#now() + (this.#now() - start) * REST;
  }
}

/** What is not there takes no room. */
async function measure(folder: string, budget: MeasureBudget): Promise<number | undefined> {
  try {
    return await measureTree(folder, budget);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0;
    throw error;
  }
}
