import { join } from 'node:path';
import { z } from 'zod';
import { Ledger } from './ledger.ts';
import type { SandboxRecord } from './sandbox-store.ts';
import type { Run } from './usage.ts';

const runSchema = z.object({
  org_id: z.string(),
  sandbox_id: z.string(),
  name: z.string(),
  slug: z.string(),
  vcpus: z.number(),
  memory_mib: z.number(),
  start: z.number(),
  end: z.number(),
});

const MAX_RUNS = 100_000;

/** When sandboxes ran, and with what. `<state>/runs.jsonl`. */
export class UsageLedger {
  readonly #ledger: Ledger<Run>;

  private constructor(ledger: Ledger<Run>) {
    this.#ledger = ledger;
  }

  static async open(state: string | undefined): Promise<UsageLedger> {
    const path = state === undefined ? undefined : join(state, 'runs.jsonl');
    return new UsageLedger(await Ledger.open({ path, schema: runSchema, maxEntries: MAX_RUNS }));
  }

  /** A guest has ended just now. */
  finish(record: SandboxRecord, startedAt: Date): void {
    this.#ledger.append(toRun(record, startedAt.getTime(), Date.now()));
  }

  /** Of one organisation: runs that are over, and those of `records` that go on. */
  runs(orgId: string, records: readonly SandboxRecord[]): Run[] {
    const now = Date.now();
    const open = records.flatMap((record) =>
      record.startedAt !== null && (record.status === 'running' || record.status === 'stopping')
        ? [toRun(record, Date.parse(record.startedAt), now)]
        : [],
    );
    return [...this.#ledger.entries, ...open].filter((run) => run.org_id === orgId);
  }

  flushed(): Promise<void> {
    return this.#ledger.flushed();
  }
}

function toRun(record: SandboxRecord, start: number, end: number): Run {
  const { vcpus, memory_mib } = record.request.resources;
  return {
    org_id: record.orgId,
    sandbox_id: record.id,
    name: record.name,
    slug: record.slug,
    vcpus,
    memory_mib,
    start,
    end,
  };
}
