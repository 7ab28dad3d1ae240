import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import type { SessionHistory } from '../sessions/session-history.ts';
import { ByteSource } from '../util/byte-source.ts';
import { encodeJsonLine } from '../util/json-lines.ts';
import { packTree, type Skipped } from '../util/pack-tree.ts';
import { sealStream } from '../util/sealed-stream.ts';
import type { Secret } from '../util/secret.ts';
import { Summed } from '../util/summed.ts';
import { tarEnd, tarFile } from '../util/tar-writer.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import { ARCHIVE, ARCHIVE_VERSION, type ArchiveHead, type ArchiveSums, PIECE_BYTES, TREES } from './session-archive.ts';

export interface ExportSessionOptions {
  /** Whether the workspace's files and skills go with it, as resuming elsewhere needs them. Default true. */
  readonly files?: boolean | undefined;
  /** Encrypts the archive. */
  readonly passphrase?: Secret | undefined;
  /** Allows an archive that is not encrypted of a session that is. Default false. */
  readonly plain?: boolean | undefined;
  /** Told of what an archive cannot hold. */
  readonly onSkipped?: ((skipped: Skipped) => void) | undefined;
}

export interface ExportedSession {
  readonly customer: CustomerId;
  readonly workspace: Workspace;
  readonly history: SessionHistory;
}

/**
 * A session as one file, in the format that `session-archive.ts` describes. Throws `invalid_argument` when the session is encrypted
 * and nothing says how the archive is to be; iterating throws `storage_failed` for a log that cannot be read.
 */
export async function exportSession(
  session: ExportedSession,
  options: ExportSessionOptions,
): Promise<AsyncIterable<Uint8Array>> {
  const { passphrase, plain = false } = options;
  if ((await session.history.isSealed()) && passphrase === undefined && !plain) {
    const message = `Session "${session.history.id}" is encrypted, and its archive would not be`;
    throw new WorkcellError('invalid_argument', `${message}; give a passphrase, or ask for a plain archive`);
  }
  const archive = compress(entriesOf(session, options));
  return passphrase === undefined ? archive : sealStream(archive, passphrase);
}

async function* entriesOf(
  { customer, workspace, history }: ExportedSession,
  { files = true, onSkipped }: ExportSessionOptions,
): AsyncGenerator<Uint8Array, void> {
  const now = new Date();
  const json = (path: string, value: object) => tarFile(path, `${JSON.stringify(value)}\n`, now);
  const head: ArchiveHead = {
    format: 'workcell-session',
    version: ARCHIVE_VERSION,
    customer,
    session: history.id,
    exportedAt: now.toISOString(),
    workspace: files,
  };
  yield json(ARCHIVE.session, head);
  const [log, tree] = [new Summed(), new Summed()];
  const count = { events: 0 };
  yield* inPieces(ARCHIVE.log, log.through(linesOf(history, count)), now);
  if (files) yield* inPieces(ARCHIVE.workspace, tree.through(packWorkspace(workspace, onSkipped)), now);
  const sums: ArchiveSums = { ...count, log: log.sum(), workspace: files ? tree.sum() : null };
  yield json(ARCHIVE.sums, sums);
  yield tarEnd();
}

async function* linesOf(history: SessionHistory, count: { events: number }): AsyncGenerator<Uint8Array> {
  for await (const { event, seq } of history.lines()) {
    if (event === undefined) {
      const subject = `Cannot export session "${history.id}": line ${seq}`;
      throw new WorkcellError('unsupported', `${subject} is from a later version of Workcell; export it with that`);
    }
    count.events += 1;
    yield encodeJsonLine(event);
  }
}

async function* packWorkspace(
  workspace: Workspace,
  onSkipped: ExportSessionOptions['onSkipped'],
): AsyncGenerator<Uint8Array, void> {
  for (const name of TREES) yield* packTree(workspace[name], '', { prefix: name, onSkipped });
  yield tarEnd();
}

async function* inPieces(
  prefix: string,
  bytes: AsyncIterable<Uint8Array>,
  now: Date,
): AsyncGenerator<Uint8Array, void> {
  const source = new ByteSource(bytes);
  try {
    for (let number = 1; ; number++) {
      const piece = await source.read(PIECE_BYTES);
      if (piece.length === 0) return;
      yield tarFile(`${prefix}${String(number).padStart(6, '0')}`, piece, now);
    }
  } finally {
    await source.close();
  }
}

async function* compress(plain: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const source = Readable.from(plain, { objectMode: false });
  const gzip = createGzip({ level: 6 });
  source.on('error', (error) => gzip.destroy(error));
  try {
    yield* source.pipe(gzip);
  } finally {
    source.destroy();
    gzip.destroy();
  }
}
