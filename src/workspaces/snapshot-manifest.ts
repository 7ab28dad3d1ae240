import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import type { GatedFiles } from '../util/gated-files.ts';

const base = {
  path: z.string(),
  mode: z.int().min(0).max(0o777),
  at: z.number(),
  owner: z.strictObject({ uid: z.int(), gid: z.int() }),
};

/** One line of a manifest. `at`: when it was modified, in milliseconds since 1970. */
const entrySchema = z.discriminatedUnion('kind', [
  z.strictObject({
    ...base,
    kind: z.literal('file'),
    size: z.int().nonnegative(),
    /** Its content: an object, by its SHA-256 where it has no holes, or the name of a clone in the snapshot's own folder. */
    from: z.union([
      z.strictObject({ object: z.string().regex(/^[0-9a-f]{64}$/) }),
      z.strictObject({ clone: z.string().regex(/^[0-9a-z]+$/) }),
    ]),
    /** The version of the file that was copied; undefined when it was changing. */
    version: z.string().optional(),
  }),
  z.strictObject({ ...base, kind: z.literal('folder') }),
  z.strictObject({ ...base, kind: z.literal('link'), target: z.string() }),
]);

export type ManifestEntry = z.infer<typeof entrySchema>;

/** What a file holds. */
export type FileContents = Pick<Extract<ManifestEntry, { kind: 'file' }>, 'size' | 'from' | 'version'>;

const MAX_LINE_BYTES = 64 * 1024;

export function manifestLine(entry: ManifestEntry): Buffer {
  return Buffer.from(`${JSON.stringify(entry)}\n`);
}

/** The entries of a manifest, each folder before what it holds. Throws `storage_failed` for one that is damaged. */
export async function* readManifest(tree: GatedFiles, path: string): AsyncGenerator<ManifestEntry, void> {
  const { stream } = await tree.openFile(path);
  let number = 0;
  let rest = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE_BYTES) throw damaged(number + 1);
    for (const line of lines) yield parseLine(line, ++number);
  }
  if (rest !== '') throw damaged(number + 1);
}

function parseLine(line: string, number: number): ManifestEntry {
  try {
    return entrySchema.parse(JSON.parse(line));
  } catch (cause) {
    throw new WorkcellError('storage_failed', damaged(number).message, { cause });
  }
}

function damaged(number: number): WorkcellError {
  return new WorkcellError(
    'storage_failed',
    `The snapshot's manifest is damaged at line ${number}; delete the snapshot`,
  );
}
