import type { SandboxDailyUsage, UsageBreakdown, UsageSummary } from '../protocol/rest.ts';

/** One stretch of time in which a sandbox ran. */
export interface Run {
  readonly org_id: string;
  readonly sandbox_id: string;
  readonly name: string;
  readonly slug: string;
  readonly vcpus: number;
  readonly memory_mib: number;
  /** Milliseconds since the epoch. */
  readonly start: number;
  readonly end: number;
}

export interface Period {
  readonly start: Date;
  readonly end: Date;
}

const DAY_MS = 86_400_000;
const HOUR_SECONDS = 3600;

/** The month of `now`, UTC. */
export function billingPeriod(now: Date): Period {
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  return { start: new Date(Date.UTC(year, month, 1)), end: new Date(Date.UTC(year, month + 1, 1)) };
}

/** What each sandbox was given on each day of the period, by the length of its runs. */
export function usageBreakdown(runs: readonly Run[], period: Period): UsageBreakdown {
  const rows = new Map<string, SandboxDailyUsage>();
  const sandboxes = new Map<string, UsageBreakdown['sandboxes'][number]>();
  for (const run of runs) {
    for (const { day, seconds } of daysOf(run, period)) {
      const key = `${run.sandbox_id} ${day}`;
      const row = rows.get(key);
      rows.set(key, {
        sandbox_id: run.sandbox_id,
        day,
        vcpu_seconds: (row?.vcpu_seconds ?? 0) + seconds * run.vcpus,
        mem_mib_seconds: (row?.mem_mib_seconds ?? 0) + seconds * run.memory_mib,
        disk_mib_seconds: 0,
      });
      sandboxes.set(run.sandbox_id, { id: run.sandbox_id, name: run.name, slug: run.slug });
    }
  }
  return { rows: [...rows.values()], sandboxes: [...sandboxes.values()] };
}

/** Totals of the period; this server charges nothing. */
export function usageSummary(runs: readonly Run[], period: Period, storageGib: number | null): UsageSummary {
  const { rows } = usageBreakdown(runs, period);
  const metrics = [
    { name: 'vcpu_hours', quantity: (row: SandboxDailyUsage) => row.vcpu_seconds / HOUR_SECONDS },
    { name: 'memory_gib_hours', quantity: (row: SandboxDailyUsage) => row.mem_mib_seconds / 1024 / HOUR_SECONDS },
  ];
  const days = Map.groupBy(rows, ({ day }) => day);
  return {
    period_start: period.start.toISOString(),
    period_end: period.end.toISOString(),
    line_items: metrics.map(({ name, quantity }) => ({
      name,
      quantity: sum(rows.map(quantity)),
      unit: 'hours',
      amount_cents: 0,
    })),
    daily: metrics.flatMap(({ name, quantity }) =>
      [...days].map(([date, ofDay]) => ({ date, metric: name, quantity: sum(ofDay.map(quantity)) })),
    ),
    total_cents: 0,
    projected_spend_cents: 0,
    storage_gib: storageGib,
  };
}

/** A run cut at midnights, within the period. */
function daysOf(run: Run, period: Period): { readonly day: string; readonly seconds: number }[] {
  const pieces: { day: string; seconds: number }[] = [];
  const end = Math.min(run.end, period.end.getTime());
  for (let at = Math.max(run.start, period.start.getTime()); at < end; ) {
    const day = Math.floor(at / DAY_MS) * DAY_MS;
    const next = Math.min(end, day + DAY_MS);
    pieces.push({ day: new Date(day).toISOString(), seconds: (next - at) / 1000 });
    at = next;
  }
  return pieces;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
