/**
 * The REST half of the Microsandbox cloud contract, as schemas.
 *
 * Source: superradcompany/microsandbox `docs/api-reference/openapi.json`. Field names are those of the wire. Requests are
 * read strictly where the original does (`runtime`, `network`) and leave unknown fields alone elsewhere.
 */
import { z } from 'zod';
import { networkPolicySchema } from './network-policy.ts';
import { networkSecretsSchema } from './network-secrets.ts';

export const mountOptionsSchema = z.object({
  readonly: z.boolean().default(false),
  noexec: z.boolean().default(false),
  nosuid: z.boolean().default(false),
  nodev: z.boolean().default(false),
});

const guestPath = z
  .string()
  .max(4096)
  .regex(/^\/[^\0]*$/, 'must be an absolute path')
  .refine((path) => !path.split('/').includes('..'), 'must not contain ".."');
const options = mountOptionsSchema.prefault({});
const count = z
  .int()
  .nonnegative()
  .max(2 ** 31 - 1);
/** As long as a timer can be: 24 days. */
const seconds = z.int().nonnegative().max(2_147_483);

const mountSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('bind'),
    host: z.string().min(1).max(4096),
    guest: guestPath,
    options,
    quota_mib: count.nullish(),
  }),
  z.object({ type: z.literal('named'), name: z.string().min(1).max(63), guest: guestPath, options }),
  z.object({ type: z.literal('tmpfs'), guest: guestPath, size_mib: count.nullish(), options }),
  z.object({ type: z.literal('disk_image'), host: z.string(), guest: guestPath, format: z.string(), options }),
]);

const lifecycleSchema = z.object({
  ephemeral: z.boolean().default(false),
  idle_timeout_secs: seconds.nullish().default(null),
  max_duration_secs: seconds.nullish().default(null),
});

/** `crates/…/validation.rs` of the original: what a sandbox may be called. */
const sandboxName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/, 'must be 1 to 128 letters, digits, "_", "." or "-"');

const slug = z
  .string()
  .min(3)
  .max(63)
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'must be lower-case letters and digits with single hyphens inside');

export const RLIMIT_RESOURCES = [
  'cpu',
  'fsize',
  'data',
  'stack',
  'core',
  'rss',
  'nproc',
  'nofile',
  'memlock',
  'as',
  'locks',
  'sigpending',
  'msgqueue',
  'nice',
  'rtprio',
  'rttime',
] as const;

const rlimit = z.number().int().nonnegative();
const rlimitSchema = z
  .object({ resource: z.enum(RLIMIT_RESOURCES), soft: rlimit, hard: rlimit })
  .refine(({ soft, hard }) => soft <= hard, 'the soft limit must not be above the hard one');

const mode = z.int().nonnegative().max(0o7777).nullish();
const replace = z.boolean().default(false);
/** A change of the guest's root file system, made before anybody can use the sandbox. */
const patchSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text'), path: guestPath, content: z.string(), mode, replace }),
  z.object({ type: z.literal('file'), path: guestPath, content: z.array(z.int().min(0).max(255)), mode, replace }),
  z.object({ type: z.literal('append'), path: guestPath, content: z.string() }),
  z.object({ type: z.literal('mkdir'), path: guestPath, mode }),
  z.object({ type: z.literal('symlink'), target: z.string().min(1).max(4096), link: guestPath, replace }),
  z.object({ type: z.literal('remove'), path: guestPath }),
  z.object({ type: z.literal('copy_file') }),
  z.object({ type: z.literal('copy_dir') }),
]);

export type PatchRequest = z.infer<typeof patchSchema>;

const registrySchema = z.discriminatedUnion('mode', [
  z.object({ mode: z.literal('auto') }),
  z.object({ mode: z.literal('anonymous') }),
  z.object({ mode: z.literal('specific') }),
  z.object({ mode: z.literal('inline') }),
]);

export const createSandboxSchema = z.object({
  name: sandboxName,
  image: z.object({ type: z.literal('oci'), reference: z.string().min(1).max(512) }),
  resources: z
    .object({
      vcpus: z.int().positive().max(64).default(1),
      memory_mib: z
        .int()
        .positive()
        .max(1024 * 1024)
        .default(512),
      disk_size_mib: count.nullish(),
    })
    .prefault({}),
  env: z
    .array(z.object({ key: z.string().regex(/^[^=\0]+$/), value: z.string().regex(/^[^\0]*$/) }))
    .max(1024)
    .default([]),
  labels: z.record(z.string(), z.string()).default({}),
  lifecycle: lifecycleSchema.prefault({}),
  mounts: z.array(mountSchema).max(64).default([]),
  network: z
    .strictObject({
      enabled: z.boolean().default(true),
      max_connections: count.nullish(),
      policy: networkPolicySchema.nullish(),
      secrets: networkSecretsSchema.nullish(),
      strict: z.boolean().default(false),
    })
    .prefault({}),
  runtime: z
    .strictObject({
      workdir: guestPath.nullish(),
      user: z.string().min(1).max(256).nullish(),
      shell: z.string().min(1).max(4096).nullish(),
      cmd: z.array(z.string()).max(1024).nullish(),
      entrypoint: z.array(z.string()).max(1024).nullish(),
      scripts: z
        .record(z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/, 'must be a plain file name'), z.string())
        .default({}),
      log_level: z.enum(['error', 'warn', 'info', 'debug', 'trace']).nullish(),
    })
    .prefault({}),
  rlimits: z.array(rlimitSchema).max(RLIMIT_RESOURCES.length).default([]),
  patches: z.array(patchSchema).max(256).default([]),
  init: z.unknown().nullish(),
  pull_policy: z.enum(['if_missing', 'always', 'never']).default('if_missing'),
  security_profile: z.enum(['default', 'restricted']).default('default'),
  registry: registrySchema.nullish(),
  slug: slug.nullish(),
});

export type CreateSandboxRequest = z.infer<typeof createSandboxSchema>;
export type CreateSandboxInput = z.input<typeof createSandboxSchema>;
export type MountRequest = CreateSandboxRequest['mounts'][number];

/** `true`/`false` in a query string. */
const flag = z.enum(['true', 'false']).transform((value) => value === 'true');

const wait = {
  wait_for: z.literal('running').optional(),
  /** Seconds. */
  wait_timeout: z.coerce.number().int().min(0).max(600).optional(),
};
const NEEDS_WAIT_FOR = { path: ['wait_timeout'], message: 'is valid only with wait_for' };
const hasWaitFor = ({ wait_for, wait_timeout }: { wait_for?: unknown; wait_timeout?: unknown }) =>
  wait_timeout === undefined || wait_for !== undefined;

export const createSandboxQuerySchema = z
  .object({ start: flag.default(false), ...wait })
  .refine(hasWaitFor, NEEDS_WAIT_FOR);
export const startSandboxQuerySchema = z.object(wait).refine(hasWaitFor, NEEDS_WAIT_FOR);

/** What is absent or null stays as it is. */
export const updateSandboxSchema = z.object({ name: sandboxName.nullish(), slug: slug.nullish() });

const page = {
  cursor: z.string().max(512).optional(),
  limit: z.coerce.number().int().min(1).max(100).default(20),
};

export const pageQuerySchema = z.object(page);

export const eventQuerySchema = z.object({
  ...page,
  event_type: z.string().max(128).optional(),
  /** Both inclusive. */
  since: z.iso.datetime({ offset: true }).optional(),
  until: z.iso.datetime({ offset: true }).optional(),
});

export const listQuerySchema = z.object({
  ...page,
  /** A JSON object: sandboxes must have all of these labels. */
  labels: z.string().optional(),
});

export const SANDBOX_STATUSES = ['created', 'starting', 'running', 'stopping', 'stopped', 'failed'] as const;

export type SandboxStatus = (typeof SANDBOX_STATUSES)[number];

export const sandboxResponseSchema = z.object({
  id: z.uuid(),
  org_id: z.uuid(),
  name: z.string(),
  slug: z.string(),
  status: z.enum(SANDBOX_STATUSES),
  status_reason: z.enum(['scheduling', 'insufficient_capacity']).nullish(),
  ephemeral: z.boolean(),
  created_at: z.string(),
  started_at: z.string().nullish(),
  stopped_at: z.string().nullish(),
  last_failure_message: z.string().nullish(),
  spec: z.unknown().nullish(),
  /** Beyond the original, which has one kind of guest only. */
  driver: z.string().optional(),
  isolation: z.enum(['hardware', 'emulated', 'process']).optional(),
  boot: z.enum(['pooled', 'restored', 'cold']).nullish(),
  pool_bypass: z.string().nullish(),
});

export type SandboxResponse = z.infer<typeof sandboxResponseSchema>;

/** Whole GiB; ext4 ends at 16 TiB. */
const capacityGib = z.int().min(1).max(16_000);

/** Beyond the original: what a sandbox that runs has used. */
export const sandboxMetricsSchema = z.object({
  /** Milliseconds of the host's processors since it was started. */
  cpu_ms: z.number().nonnegative(),
});

export type SandboxMetricsResponse = z.infer<typeof sandboxMetricsSchema>;

export const createVolumeSchema = z.object({
  name: z
    .string()
    .max(63)
    .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'must be lower-case letters and digits with single hyphens inside'),
  /** Absent or null: as much as the disk. */
  capacity_gib: capacityGib.nullish(),
  labels: z.record(z.string(), z.string()).default({}),
  storage: z.literal('block').nullish(),
});

export type CreateVolumeRequest = z.infer<typeof createVolumeSchema>;

/** What is omitted stays as it is; a capacity of null takes the limit away; labels are replaced as a whole. */
export const updateVolumeSchema = z.object({
  capacity_gib: capacityGib.nullish(),
  labels: z.record(z.string(), z.string()).nullish(),
});

export type UpdateVolumeRequest = z.infer<typeof updateVolumeSchema>;

export interface VolumeResponse {
  readonly id: string;
  /** Null for an organisation's host volume. */
  readonly name: string | null;
  readonly kind: 'host' | 'managed';
  readonly storage: 'block';
  readonly status: 'active' | 'deleting';
  readonly labels: Readonly<Record<string, string>>;
  readonly created_at: string;
  readonly updated_at: string;
  readonly capacity_bytes: number | null;
  /** Null when it was not measured. */
  readonly used_bytes: number | null;
}

export type EventActor =
  | { readonly kind: 'api_key'; readonly api_key_id: string; readonly name: string }
  | { readonly kind: 'system'; readonly code: string; readonly label: string };

export interface EventResponse {
  readonly id: string;
  readonly org_id: string;
  readonly category: string;
  readonly event_type: string;
  readonly actor: EventActor;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly timestamp: string;
}

export const LOG_SOURCES = ['stdout', 'stderr', 'output', 'system'] as const;

/** `output` is what a terminal shows: both streams in one. */
export type LogSource = (typeof LOG_SOURCES)[number];

export const logQuerySchema = z.object({
  /** A list such as `stdout,stderr`. */
  sources: z
    .string()
    .transform((text) => text.split(',').map((source) => source.trim()))
    .pipe(z.array(z.enum(LOG_SOURCES)).min(1))
    .optional(),
});

/** Null means that there is no limit. */
export interface QuotaResponse {
  readonly max_sandboxes: number | null;
  readonly max_concurrent_ephemeral_running: number | null;
  readonly max_concurrent_persistent_running: number | null;
  readonly max_vcpus_per_sandbox: number | null;
  readonly max_memory_mib_per_sandbox: number | null;
  readonly max_disk_size_mib_per_sandbox: number | null;
  readonly max_total_storage_gib: number | null;
  readonly max_uptime_minutes_per_sandbox: number | null;
  readonly included_vcpu_hours: number | null;
  readonly included_memory_gib_hours: number | null;
  readonly included_disk_gib_hours: number | null;
  readonly included_storage_gib: number | null;
  readonly vcpu_hours_used: number;
  readonly memory_gib_hours_used: number;
  readonly total_sandboxes: number;
  readonly concurrent_ephemeral_running: number;
  readonly concurrent_persistent_running: number;
  readonly hard_cap: boolean;
  readonly is_suspended: boolean;
  readonly pool_exhausted: boolean;
}

export interface SandboxDailyUsage {
  readonly sandbox_id: string;
  /** Midnight, UTC. */
  readonly day: string;
  readonly vcpu_seconds: number;
  readonly mem_mib_seconds: number;
  readonly disk_mib_seconds: number;
}

export interface UsageBreakdown {
  readonly rows: readonly SandboxDailyUsage[];
  readonly sandboxes: readonly { readonly id: string; readonly name: string; readonly slug: string }[];
}

export interface UsageSummary {
  readonly period_start: string;
  readonly period_end: string;
  readonly line_items: readonly {
    readonly name: string;
    readonly quantity: number;
    readonly unit: string;
    readonly amount_cents: number;
  }[];
  readonly daily: readonly { readonly date: string; readonly metric: string; readonly quantity: number }[];
  readonly total_cents: number;
  readonly projected_spend_cents: number;
  readonly storage_gib: number | null;
}

export interface StorageBreakdown {
  readonly rows: readonly { readonly volume_id: string; readonly day: string; readonly mib_seconds: number }[];
  readonly volumes: readonly { readonly id: string; readonly name: string | null }[];
}

/**
 * The files of a volume, `/v1/volumes/{id}/files…`. Paths travel in the header `x-msb-file-path` as unpadded base64url, or
 * in the body. Source: superradcompany/microsandbox `sdk/rust/lib/backend/cloud/volume.rs`.
 */
export const VOLUME_FILE_HEADERS = { path: 'x-msb-file-path', recursive: 'x-msb-file-recursive' } as const;

export const volumePathSchema = z.object({ path: z.string() });
export const volumeTransferSchema = z.object({ from: z.string(), to: z.string() });

export interface VolumeFileInfo {
  /** From the root of the volume, with a leading `/`. */
  readonly path: string;
  /** Clients know no other kinds. */
  readonly kind: 'file' | 'directory';
  readonly size: number;
  /** With the bits of the kind, as stat(2) gives it. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Nobody may write to it. */
  readonly readonly: boolean;
  readonly accessed_at: string;
  readonly modified_at: string;
  readonly created_at: string;
}

export interface Page<T> {
  readonly data: readonly T[];
  readonly has_more: boolean;
  readonly next_cursor: string | null;
}

export const errorResponseSchema = z.object({
  error: z.object({ code: z.string(), message: z.string(), details: z.unknown().nullish() }),
});

export type ErrorResponse = z.infer<typeof errorResponseSchema>;
