import type { EntryInfo } from '../util/gated-files.ts';
import { contentTypeOf } from './content-type.ts';

/** Something in a customer's workspace, as its API tells it. */
export interface FileEntry {
  /** From the top of the workspace's files, without a slash at either end. */
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link' | 'other';
  /** Bytes; of a file only. */
  readonly size: number | null;
  /** ISO 8601. */
  readonly modifiedAt: string;
  /** By its name; of a file only. */
  readonly contentType: string | null;
  /** Differs for every content that the file has had; of a file only, and null in a list for one that changes right now. */
  readonly version: string | null;
}

const KINDS = { file: 'file', directory: 'folder', symlink: 'link', other: 'other' } as const;

/** What the API tells of what is at a path. */
export function describeEntry(path: string, { kind, size, modifiedAt, version }: EntryInfo): FileEntry {
  const isFile = kind === 'file';
  return {
    path,
    kind: KINDS[kind],
    size: isFile ? size : null,
    modifiedAt: modifiedAt.toISOString(),
    contentType: isFile ? contentTypeOf(path) : null,
    version: isFile ? version : null,
  };
}
