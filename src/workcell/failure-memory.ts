import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { McpServerConfig } from '../config/config.ts';
import { readTextIfExists, writeFileAtomic } from '../util/atomic-file.ts';

const fileSchema = z.record(
  z.string(),
  z.strictObject({ failures: z.int().positive(), at: z.number(), configuration: z.string(), problem: z.string() }),
);

type Failures = z.output<typeof fileSchema>;

export interface FailureMemoryOptions {
  readonly path: string;
  readonly servers: Readonly<Record<string, McpServerConfig>>;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

const FIRST_PAUSE_MS = 30_000;
const MAX_PAUSE_MS = 60 * 60_000;

/**
 * Which servers could not be reached by this and earlier processes, so that not every command waits for one that is down: it is
 * left alone for 30 seconds, doubling with each failure up to an hour. A server whose configuration has changed starts anew.
 */
export class FailureMemory {
  readonly #options: FailureMemoryOptions;

  constructor(options: FailureMemoryOptions) {
    this.#options = options;
  }

  /** Why the server is better left alone, and for how long; undefined when it may be tried. */
  async find(server: string): Promise<{ readonly problem: string; readonly retryInMs: number } | undefined> {
    const known = (await this.#load())[server];
    if (known === undefined || known.configuration !== this.#fingerprint(server)) return undefined;
    const pause = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(known.failures - 1, 20));
    const retryInMs = known.at + pause - this.#now();
    // A clock that was set back must not make it longer.
    return retryInMs > 0 && retryInMs <= pause ? { problem: known.problem, retryInMs } : undefined;
  }

  /** Notes how attempts went; `problem` undefined for one that succeeded. What cannot be written is forgotten. */
  async note(attempts: readonly { readonly server: string; readonly problem: string | undefined }[]): Promise<void> {
    const failures = await this.#load();
    const changed: Failures = { ...failures };
    for (const { server, problem } of attempts) {
      const configuration = this.#fingerprint(server);
      const before = failures[server]?.configuration === configuration ? failures[server].failures : 0;
      if (problem === undefined) delete changed[server];
      else changed[server] = { failures: before + 1, at: this.#now(), configuration, problem };
    }
    if (JSON.stringify(changed) === JSON.stringify(failures)) return;
    await writeFileAtomic(this.#options.path, `${JSON.stringify(changed, null, 2)}\n`, 0o600).catch(() => {});
  }

  /** A file that cannot be read remembers nothing. */
  async #load(): Promise<Failures> {
    try {
      return fileSchema.parse(JSON.parse((await readTextIfExists(this.#options.path)) ?? '{}'));
    } catch {
      return {};
    }
  }

  /** Secrets print as such, and are no part of it. */
  #fingerprint(server: string): string {
    return createHash('sha256')
      .update(JSON.stringify(this.#options.servers[server] ?? null))
      .digest('hex');
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }
}
