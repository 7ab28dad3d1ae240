import { WorkcellError } from '../core/errors.ts';
import { parseSessionId, type SessionId } from '../core/ids.ts';
import type { ImportedLog, LogImport } from '../sessions/import-log.ts';
import type { SessionStore } from '../sessions/session-store.ts';
import { unsealStream } from '../util/sealed-stream.ts';
import type { Secret } from '../util/secret.ts';
import { type Sum, Summed } from '../util/summed.ts';
import { readTar, type TarEntry, type TarLimits } from '../util/tar-reader.ts';
import { type Unpacked, unpackTree } from '../util/unpack-tree.ts';
import { assertNothingThere, mergeTree } from '../workspaces/merge-tree.ts';
import { withStaging } from '../workspaces/staging.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import {
  ARCHIVE,
  ARCHIVE_VERSION,
  type ArchiveHead,
  archiveHead,
  archiveSums,
  archiveVersion,
  MAX_FACTS_BYTES,
  TREES,
} from './session-archive.ts';

export interface ImportSessionOptions {
  /** The id that it gets here. Default: the one that it had. */
  readonly as?: string | undefined;
  /** Whether what the archive has of files and skills is taken, too. Default true. */
  readonly files?: boolean | undefined;
  /** Whether they may replace files of the same names. Default false. */
  readonly overwrite?: boolean | undefined;
  /** Of an archive that is encrypted. */
  readonly passphrase?: Secret | undefined;
}

export interface ImportedSession extends ImportedLog {
  readonly sessionId: SessionId;
  /** Whose it was, and how it was called. */
  readonly from: { readonly customer: string; readonly session: string; readonly exportedAt: string };
  /** Null when there were none, or they were not wanted. */
  readonly files: Unpacked | null;
}

export interface ImportPlace {
  readonly sessions: SessionStore;
  /** Held against those who want it alone. */
  readonly workspace: Workspace;
  readonly limits: TarLimits;
  /** The archive's bytes; throws when the customer may not have them. */
  readonly admit: (bytes: number) => Promise<void>;
}

/**
 * Makes a session of an archive of `exportSession`: all of it, or nothing. The archive is taken for anybody's: its sizes, its paths
 * and every event are checked. Throws `invalid_argument` for what is no such archive, or was changed, and `already_exists` for a
 * session, an execution or a file that there is.
 */
export async function importSession(
  archive: AsyncIterable<Uint8Array>,
  place: ImportPlace,
  options: ImportSessionOptions,
): Promise<ImportedSession> {
  const { limits } = place;
  const entries = new Entries(
    readTar(unsealStream(archive, options.passphrase), { bytes: MAX_BYTES, entries: limits.entries + MAX_PIECES }),
  );
  try {
    const head = headOf(await entries.json(ARCHIVE.session));
    const { customer, session, exportedAt } = head;
    const sessionId = parseSessionId(options.as ?? session);
    const from = { customer, session, exportedAt };
    return await place.sessions.importLog(sessionId, async (log) =>
      withStaging(place.workspace.tree, async (staging) => {
        const imported = await readParts(entries, log, { ...place, head, staging, options });
        await log.publish();
        return { sessionId, from, ...imported };
      }),
    );
  } finally {
    await entries.close();
  }
}

/** Compressed, the parts have limits of their own. */
const MAX_BYTES = Number.MAX_SAFE_INTEGER;
const MAX_PIECES = 1_000_000;
/** What a tar archive adds for each entry, but for the longest names. */
const HEADER_BYTES = 2 * 1024;

function headOf(facts: unknown): ArchiveHead {
  const known = archiveVersion.safeParse(facts);
  if (known.success && known.data.version > ARCHIVE_VERSION)
    throw invalid('it is from a later version of Workcell; import it with that');
  const head = archiveHead.safeParse(facts);
  if (head.success) return head.data;
  throw invalid(`${ARCHIVE.session} is not what Workcell writes`);
}

interface PartsOptions extends ImportPlace {
  readonly head: ArchiveHead;
  readonly staging: string;
  readonly options: ImportSessionOptions;
}

async function readParts(
  entries: Entries,
  log: LogImport,
  { head, staging, workspace, limits, admit, options }: PartsOptions,
): Promise<ImportedLog & { readonly files: Unpacked | null }> {
  const [logSum, treeSum] = [new Summed(), new Summed()];
  const imported = await log.read(logSum.through(entries.pieces(ARCHIVE.log)));
  const { files: wanted = true, overwrite = false } = options;
  const tree = treeSum.through(bounded(entries.pieces(ARCHIVE.workspace), limits, wanted ? admit : async () => {}));
  const files = head.workspace && wanted ? await unpackTree(workspace.tree, staging, keptOpen(tree), { limits }) : null;
  // What follows the end of the archive inside counts, too.
  for await (const _ of tree);
  const sums = archiveSums.safeParse(await entries.json(ARCHIVE.sums));
  if (!sums.success) throw invalid(`${ARCHIVE.sums} is not what Workcell writes`);
  assertSame('log', logSum.sum(), sums.data.log);
  if (head.workspace) assertSame('workspace', treeSum.sum(), sums.data.workspace);
  if (sums.data.events !== imported.events) throw invalid('it has not as many events as it says');
  if (files !== null) await takeOver(workspace, staging, overwrite);
  return { ...imported, files };
}

async function takeOver({ tree }: Workspace, staging: string, overwrite: boolean): Promise<void> {
  const { entries } = await tree.list(staging);
  const other = entries.find(({ name, kind }) => kind !== 'directory' || !TREES.some((each) => each === name));
  if (other !== undefined)
    throw invalid(`its workspace has ${JSON.stringify(other.name)}, which is none of ${TREES.join(', ')}`);
  for (const { name } of entries) if (!overwrite) await assertNothingThere(tree, `${staging}/${name}`, name);
  for (const { name } of entries) await mergeTree(tree, `${staging}/${name}`, name);
}

async function* bounded(
  bytes: AsyncIterable<Uint8Array>,
  limits: TarLimits,
  admit: ImportPlace['admit'],
): AsyncGenerator<Uint8Array, void> {
  let left = limits.bytes + limits.entries * HEADER_BYTES;
  for await (const chunk of bytes) {
    left -= chunk.length;
    if (left < 0) throw invalid('its workspace is larger than workspace.maxArchive allows');
    await admit(chunk.length);
    yield chunk;
  }
}

/** Goes on where a reader that had enough has stopped. */
function keptOpen(stream: AsyncIterator<Uint8Array, void>): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => ({ next: () => stream.next() }) };
}

function assertSame(what: string, is: Sum, should: Sum | null): void {
  if (should?.bytes !== is.bytes || should.sha256 !== is.sha256) throw invalid(`its ${what} is not what was exported`);
}

/** The entries of an archive, which have to come in one order. */
class Entries {
  readonly #entries: AsyncGenerator<TarEntry, void>;
  #next: TarEntry | undefined;

  constructor(entries: AsyncGenerator<TarEntry, void>) {
    this.#entries = entries;
  }

  async json(path: string): Promise<unknown> {
    const entry = await this.#peek();
    if (entry?.type !== 'file' || entry.path !== path) throw invalid(`${path} is not where it has to be`);
    if (entry.size > MAX_FACTS_BYTES) throw invalid(`${path} is too large`);
    const bytes = Buffer.concat(await Array.fromAsync(entry.content));
    this.#next = undefined;
    try {
      return JSON.parse(bytes.toString('utf8'));
    } catch {
      throw invalid(`${path} is not JSON`);
    }
  }

  /** What the pieces that come next hold, together. */
  async *pieces(prefix: string): AsyncGenerator<Uint8Array, void> {
    for (let number = 1; ; number++) {
      const entry = await this.#peek();
      if (entry?.type !== 'file' || entry.path !== `${prefix}${String(number).padStart(6, '0')}`) return;
      yield* entry.content;
      this.#next = undefined;
    }
  }

  async close(): Promise<void> {
    await this.#entries.return();
  }

  async #peek(): Promise<TarEntry | undefined> {
    this.#next ??= (await this.#entries.next()).value ?? undefined;
    return this.#next;
  }
}

function invalid(reason: string): WorkcellError {
  return new WorkcellError('invalid_argument', `The archive is not one of a session: ${reason}`);
}
