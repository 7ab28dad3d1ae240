/**
 * The REST half of the Microsandbox cloud contract, as schemas.
 *
 * Source: superradcompany/microsandbox `docs/api-reference/openapi.json`. Field names are those of the wire. Requests are
 * read strictly where the original does (`runtime`, `network`) and leave unknown fields alone elsewhere.
 */
import { z } from 'zod';

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

export const createSandboxSchema = z.object({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/, 'must be 1 to 128 letters, digits, "_", "." or "-"'),
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
  env: z.array(z.object({ key: z.string().regex(/^[^=\0]+$/), value: z.string() })).default([]),
  labels: z.record(z.string(), z.string()).default({}),
  lifecycle: lifecycleSchema.prefault({}),
  mounts: z.array(mountSchema).max(64).default([]),
  network: z
    .strictObject({
      enabled: z.boolean().default(true),
      max_connections: count.nullish(),
      policy: z.unknown().nullish(),
      /** Sent empty by the stock clients when networking is configured at all. */
      secrets: z.looseObject({ entries: z.array(z.unknown()).default([]) }).nullish(),
      strict: z.boolean().default(false),
    })
    .prefault({}),
  runtime: z
    .strictObject({
      workdir: guestPath.nullish(),
      user: z.string().nullish(),
      shell: z.string().nullish(),
      cmd: z.array(z.string()).nullish(),
      entrypoint: z.array(z.string()).nullish(),
      scripts: z.record(z.string(), z.string()).default({}),
      log_level: z.string().nullish(),
    })
    .prefault({}),
  rlimits: z.array(z.unknown()).default([]),
  patches: z.array(z.unknown()).default([]),
  init: z.unknown().nullish(),
  slug: z.string().nullish(),
});

export type CreateSandboxRequest = z.infer<typeof createSandboxSchema>;
export type CreateSandboxInput = z.input<typeof createSandboxSchema>;
export type MountRequest = CreateSandboxRequest['mounts'][number];

/** `true`/`false` in a query string. */
const flag = z.enum(['true', 'false']).transform((value) => value === 'true');

export const createSandboxQuerySchema = z.object({
  start: flag.default(false),
  wait_for: z.literal('running').optional(),
  /** Seconds. */
  wait_timeout: z.coerce.number().int().min(0).max(600).optional(),
});

export const listQuerySchema = z.object({
  cursor: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(100).default(20),
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
