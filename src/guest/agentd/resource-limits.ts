/** One limit as the protocol names it; 2^64-1 and what is larger is no limit. */
export interface ResourceLimit {
  readonly resource: string;
  readonly soft: number;
  readonly hard: number;
}

/** Names of the protocol -> `RLIMIT_*` of `include/uapi/asm-generic/resource.h`. */
const RESOURCES: Readonly<Record<string, number>> = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
};

/** Undefined when there is no such resource. */
export function resourceNumber(name: string): number | undefined {
  return Object.hasOwn(RESOURCES, name) ? RESOURCES[name] : undefined;
}

/** A `struct rlimit64`. */
export function encodeLimit({ soft, hard }: ResourceLimit): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(limitValue(soft), 0);
  bytes.writeBigUInt64LE(limitValue(hard), 8);
  return bytes;
}

/** The requested limits, and of the defaults those that were not requested. */
export function mergeLimits(
  defaults: readonly ResourceLimit[],
  requested: readonly ResourceLimit[],
): readonly ResourceLimit[] {
  const named = new Set(requested.map(({ resource }) => resource));
  return [...defaults.filter(({ resource }) => !named.has(resource)), ...requested];
}

const UNLIMITED = 0xffff_ffff_ffff_ffffn;

/** A number that came over the wire has 53 bits; "no limit" is the largest there is, rounded up. */
function limitValue(value: number): bigint {
  const exact = BigInt(value);
  return exact > UNLIMITED ? UNLIMITED : exact;
}
