import { z } from 'zod';

export const snapshotInfoSchema = z.strictObject({
  id: z.string(),
  name: z.string().nullable(),
  /** ISO 8601. */
  createdAt: z.iso.datetime(),
  files: z.int(),
  folders: z.int(),
  links: z.int(),
  /** Of the files. */
  bytes: z.int(),
  /** `shared`: blocks are shared with the live files; `objects`: each content is kept once for all snapshots. */
  storage: z.enum(['shared', 'objects']),
  /** What a snapshot cannot hold: pipes, sockets, devices, names that are not valid UTF-8, what is nested too deep. */
  skipped: z.int(),
});

/** What is known of a snapshot. */
export type SnapshotInfo = Readonly<z.infer<typeof snapshotInfoSchema>>;
