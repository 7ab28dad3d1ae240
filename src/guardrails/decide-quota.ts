import { WorkcellError } from '../core/errors.ts';
import { type CustomerId, organisationOf } from '../core/ids.ts';
import type { QuotaRules, Quotas } from '../core/limits.ts';

/** What a customer may use; absent is as much as there is. */
export type QuotaName = keyof Quotas;

/** How much of one quota is used, and how much somebody wants besides. */
export interface QuotaClaim {
  readonly quota: QuotaName;
  /** Undefined: there is no limit. */
  readonly limit: number | undefined;
  readonly used: number;
  readonly wanted: number;
  /** When it is worth to ask again; infinite: never. */
  readonly retryAfterMs?: number;
}

/** What holds for one customer: its own values, over its organisation's, over the default ones, each by itself. */
export function quotasOf(customer: CustomerId, { default: defaults, organisations, customers }: QuotaRules): Quotas {
  const organisation = organisationOf(customer);
  return {
    ...defaults,
    ...(Object.hasOwn(organisations, organisation) ? organisations[organisation] : {}),
    ...(Object.hasOwn(customers, customer) ? customers[customer] : {}),
  };
}

/** Throws `quota_exceeded` for the first of these claims that does not fit. */
export function assertWithinQuotas(claims: readonly QuotaClaim[]): void {
  const refused = claims.find(({ limit, used, wanted }) => limit !== undefined && used + wanted > limit);
  if (refused !== undefined) throw quotaExceeded(refused);
}

const WHAT: Readonly<Record<QuotaName, string>> = {
  executions: 'executions at once',
  executionsPerMinute: 'executions a minute',
  cpuSecondsPerDay: 'seconds of CPU time a day',
  diskBytes: 'bytes of files',
};

function quotaExceeded({ quota, limit = 0, used, wanted, retryAfterMs }: QuotaClaim): WorkcellError {
  const when = retryAfterMs !== undefined && Number.isFinite(retryAfterMs) ? { retryAfterMs } : {};
  return new WorkcellError(
    'quota_exceeded',
    `The customer has ${rounded(used)} of ${rounded(limit)} ${WHAT[quota]}, and this needs ${rounded(wanted)} more; ${NEXT[quota]}`,
    { details: { quota, limit, used: rounded(used), ...when } },
  );
}

const NEXT: Readonly<Record<QuotaName, string>> = {
  executions: 'wait for one to end',
  executionsPerMinute: 'wait a moment',
  cpuSecondsPerDay: 'ask for a shorter timeout, or wait for the next day (UTC)',
  diskBytes: 'delete files',
};

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
