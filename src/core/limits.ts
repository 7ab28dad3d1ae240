const KIB = 1024;
const MIB = 1024 * KIB;

/** Defaults for one execution. Every one of them is enforced; `config.yaml` may change those that it names. */
export const DEFAULT_LIMITS = {
  /** Wall-clock milliseconds from the start of the program. */
  timeoutMs: 30_000,
  /** Bytes kept of stdout and of stderr each; more is counted, dropped and marked. */
  outputBytes: 1 * MIB,
  /** Tool calls that one execution may make. */
  toolCalls: 50,
  /** Bytes of a program's source. */
  codeBytes: 256 * KIB,
  /** Bytes of the JSON of a returned value, and of one tool call's arguments. */
  valueBytes: 1 * MIB,
} as const;

export type ExecutionLimits = { readonly [Name in keyof typeof DEFAULT_LIMITS]: number };

/** What one request may set lower than it is configured. */
export type LoweredLimits = {
  readonly [Name in 'toolCalls' | 'outputBytes' | 'valueBytes']?: number | undefined;
};

/** The lower of both, each. */
export function lowerLimits(configured: ExecutionLimits, wanted: LoweredLimits = {}): ExecutionLimits {
  const lower = (name: keyof LoweredLimits) => Math.min(configured[name], wanted[name] ?? configured[name]);
  return {
    ...configured,
    toolCalls: lower('toolCalls'),
    outputBytes: lower('outputBytes'),
    valueBytes: lower('valueBytes'),
  };
}

/** What one customer may use; undefined is as much as there is. Zero is nothing at all. */
export interface Quotas {
  /** Executions at once. */
  readonly executions?: number | undefined;
  /** Executions that begin within a minute; so many may begin at the same time. */
  readonly executionsPerMinute?: number | undefined;
  /** From midnight to midnight, UTC. */
  readonly cpuSecondsPerDay?: number | undefined;
  /** Of the files and skills of the workspace. */
  readonly diskBytes?: number | undefined;
}

/** The quotas of all customers: each value of a customer's own over its organisation's, over the default. */
export interface QuotaRules {
  readonly default: Quotas;
  /** By name. */
  readonly organisations: Readonly<Record<string, Quotas>>;
  /** By full id. */
  readonly customers: Readonly<Record<string, Quotas>>;
}
