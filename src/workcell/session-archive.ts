import { z } from 'zod';

/**
 * A session in one file: gzip of a tar archive, in this order
 *
 *     session.json      what it is
 *     log/000001…       the events, a line of JSON each, not encrypted, in pieces
 *     workspace/000001… a tar archive with `files/` and `skills/`, in pieces; absent when it was left out
 *     checksums.json    how much of each there is, and its SHA-256
 *
 * It is cut into pieces because tar says how large a file is before its content, and neither is known before it is read.
 * With a passphrase all of that is inside of a sealed stream, see `sealed-stream.ts`.
 */
export const ARCHIVE = {
  session: 'session.json',
  log: 'log/',
  workspace: 'workspace/',
  sums: 'checksums.json',
} as const;

export const ARCHIVE_VERSION = 1;

/** Bytes of each piece but the last. */
export const PIECE_BYTES = 4 * 1024 * 1024;

/** More bytes of `session.json` or `checksums.json` are refused. */
export const MAX_FACTS_BYTES = 64 * 1024;

/** The trees of a workspace that go with a session, by their names in the archive. */
export const TREES = ['files', 'skills'] as const;

/** What all versions begin with. */
export const archiveVersion = z.object({ format: z.literal('workcell-session'), version: z.int().positive() });

export const archiveHead = archiveVersion.extend({
  customer: z.string(),
  session: z.string(),
  exportedAt: z.iso.datetime(),
  workspace: z.boolean(),
});
export type ArchiveHead = z.infer<typeof archiveHead>;

const part = z.object({ bytes: z.int().nonnegative(), sha256: z.string().regex(/^[0-9a-f]{64}$/) });

export const archiveSums = z.object({
  events: z.int().positive(),
  log: part,
  workspace: part.nullable(),
});
export type ArchiveSums = z.infer<typeof archiveSums>;
