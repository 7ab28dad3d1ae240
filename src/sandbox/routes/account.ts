import type { FastifyInstance } from 'fastify';
import type { Principal } from '../../core/principal.ts';
import {
  type Page,
  pageQuerySchema,
  type QuotaResponse,
  type StorageBreakdown,
  type UsageBreakdown,
  type UsageSummary,
  type VolumeResponse,
} from '../../protocol/rest.ts';
import type { SandboxRegistry } from '../registry.ts';
import { billingPeriod, type Run, usageBreakdown, usageSummary } from '../usage.ts';
import type { UsageLedger } from '../usage-ledger.ts';
import { parse } from './parse.ts';

export interface AccountOptions {
  readonly registry: SandboxRegistry;
  readonly usage: UsageLedger;
  readonly listVolumes: (principal: Principal) => Promise<readonly VolumeResponse[]>;
  /** Since when there is this server. */
  readonly since: Date;
}

const MIB = 1024 * 1024;

/** Limits, use and membership of the organisation that asks. Nothing costs anything here, and there are no user accounts. */
export function accountRoutes(app: FastifyInstance, options: AccountOptions): void {
  const { registry, usage, since } = options;
  const runsOf = (principal: Principal): Run[] =>
    usage.runs(
      principal.org.id,
      registry.visibleTo(principal).map(({ record }) => record),
    );

  app.get(
    '/v1/quotas',
    async ({ principal }): Promise<QuotaResponse> => toQuota(principal, registry, runsOf(principal)),
  );

  app.get('/v1/billing/usage', async ({ principal }): Promise<UsageSummary> => {
    const volumes = await options.listVolumes(principal);
    const bytes = volumes.reduce((total, { used_bytes }) => total + (used_bytes ?? 0), 0);
    const isMeasured = volumes.some(({ used_bytes }) => used_bytes !== null);
    return usageSummary(runsOf(principal), billingPeriod(new Date()), isMeasured ? bytes / MIB / 1024 : null);
  });

  app.get(
    '/v1/billing/usage/sandbox',
    async ({ principal }): Promise<UsageBreakdown> => usageBreakdown(runsOf(principal), billingPeriod(new Date())),
  );

  app.get('/v1/billing/usage/storage', async ({ principal }) => toStorage(await options.listVolumes(principal)));

  app.get('/v1/me/org', async ({ principal: { org } }) => ({
    id: org.id,
    name: org.name,
    slug: org.name.toLowerCase().replace(/[^a-z0-9]+/g, '-'),
    // As in the original: a key acts for its organisation as a whole.
    role: 'owner',
    mfa_required: false,
    created_at: since.toISOString(),
    updated_at: since.toISOString(),
  }));

  app.get('/v1/members', async ({ query }): Promise<Page<never>> => {
    parse(pageQuerySchema, query, 'query');
    return { data: [], has_more: false, next_cursor: null };
  });
}

function toQuota(principal: Principal, registry: SandboxRegistry, runs: readonly Run[]): QuotaResponse {
  const own = registry.visibleTo(principal).filter(({ record }) => record.orgId === principal.org.id);
  const active = own.filter(({ status }) => status === 'starting' || status === 'running');
  const ephemeral = active.filter(({ request }) => request.lifecycle.ephemeral).length;
  const { line_items: used } = usageSummary(runs, billingPeriod(new Date()), null);
  const hours = (name: string) => used.find((item) => item.name === name)?.quantity ?? 0;
  return {
    max_sandboxes: Math.min(principal.maxSandboxes ?? registry.maxSandboxes, registry.maxSandboxes),
    max_concurrent_ephemeral_running: null,
    max_concurrent_persistent_running: null,
    max_vcpus_per_sandbox: null,
    max_memory_mib_per_sandbox: null,
    max_disk_size_mib_per_sandbox: null,
    max_total_storage_gib: null,
    max_uptime_minutes_per_sandbox: null,
    included_vcpu_hours: null,
    included_memory_gib_hours: null,
    included_disk_gib_hours: null,
    included_storage_gib: null,
    vcpu_hours_used: hours('vcpu_hours'),
    memory_gib_hours_used: hours('memory_gib_hours'),
    total_sandboxes: own.length,
    concurrent_ephemeral_running: ephemeral,
    concurrent_persistent_running: active.length - ephemeral,
    hard_cap: false,
    is_suspended: false,
    pool_exhausted: false,
  };
}

/** What volumes hold now, for as much of today as they have existed: earlier days are not measured. */
function toStorage(volumes: readonly VolumeResponse[]): StorageBreakdown {
  const now = new Date();
  const day = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()));
  const measured = volumes.flatMap(({ id, used_bytes, created_at }) => {
    if (used_bytes === null) return [];
    const seconds = (now.getTime() - Math.max(day.getTime(), Date.parse(created_at))) / 1000;
    return [{ volume_id: id, day: day.toISOString(), mib_seconds: (used_bytes / MIB) * Math.max(0, seconds) }];
  });
  return { rows: measured, volumes: volumes.map(({ id, name }) => ({ id, name })) };
}
