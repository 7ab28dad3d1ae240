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
  /** When it is worth to ask again. */
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

/**
 * Throws for the first of these claims that does not fit: `quota_exceeded`; and for one that never will, whatever becomes free,
 * `invalid_argument`, or `forbidden` where there is nothing of that quota at all.
 */
export function assertWithinQuotas(claims: readonly QuotaClaim[]): void {
  const isOver = (claim: QuotaClaim, used: number) => claim.limit !== undefined && used + claim.wanted > claim.limit;
  const never = claims.find((claim) => isOver(claim, 0));
  if (never !== undefined) throw neverFits(never);
  const refused = claims.find((claim) => isOver(claim, claim.used));
  if (refused !== undefined) throw quotaExceeded(refused);
}

const WHAT: Readonly<Record<QuotaName, string>> = {
  executions: 'executions at once',
  executionsPerMinute: 'executions a minute',
  cpuSecondsPerDay: 'seconds of CPU time a day',
  diskBytes: 'bytes of files',
};

function neverFits({ quota, limit = 0, wanted }: QuotaClaim): WorkcellError {
  const [has, needs] = [`${rounded(limit)} ${WHAT[quota]}`, rounded(wanted)];
  return new WorkcellError(
    limit > 0 ? 'invalid_argument' : 'forbidden',
    `The customer may have ${has}, and this needs ${needs}; ${LESS[quota]}have whoever runs the server raise the quota`,
    { details: { quota, limit, wanted: needs } },
  );
}

const LESS: Readonly<Record<QuotaName, string>> = {
  executions: '',
  executionsPerMinute: '',
  cpuSecondsPerDay: 'ask for a shorter timeout, or ',
  diskBytes: 'write less, or ',
};

function quotaExceeded({ quota, limit = 0, used, wanted, retryAfterMs }: QuotaClaim): WorkcellError {
  return new WorkcellError(
    'quota_exceeded',
    `The customer has ${rounded(used)} of ${rounded(limit)} ${WHAT[quota]}, and this needs ${rounded(wanted)} more; ${NEXT[quota]}`,
    { details: { quota, limit, used: rounded(used), ...(retryAfterMs === undefined ? {} : { retryAfterMs }) } },
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
