import { posix } from 'node:path';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import { ByteSource } from '../util/byte-source.ts';
import { Cleanup } from '../util/cleanup.ts';
import type { EntryInfo, GatedFiles, ListedEntry } from '../util/gated-files.ts';

/** More in one folder is refused: its names are held in memory. */
export const MAX_ENTRIES = 200_000;
const PIECE_BYTES = 1024 * 1024;

/**
 * Moves what is in the folder `from` into the folder `to`: folders that are in both become one, files and links replace what is
 * there. Throws `invalid_state`, before anything is moved, when a folder would have to replace a file, or a file a folder.
 */
export async function mergeTree(files: GatedFiles, from: string, to: string): Promise<void> {
  const moves: Move[] = [];
  for await (const move of planMoves(files, from, to)) moves.push(move);
  await files.makeDirectory(to);
  for (const { source, target } of moves) await files.rename(source, target);
  for (const folder of new Set(moves.map(({ target }) => posix.dirname(target)))) await files.syncFolder(folder);
}

/** Throws `already_exists`, naming it, when something but a folder in the folder `from` is in the folder `to`, too, and is not the same. */
export async function assertNothingThere(files: GatedFiles, from: string, to: string): Promise<void> {
  for (const { name, kind } of await entriesOf(files, from)) {
    const target = posix.join(to, name);
    const there = await statIfThere(files, target);
    if (there === undefined) continue;
    if (there.kind === 'directory' && kind === 'directory')
      await assertNothingThere(files, posix.join(from, name), target);
    else if (kind !== there.kind || !(await isSame(files, kind, posix.join(from, name), target)))
      throw new WorkcellError('already_exists', `There already is ${JSON.stringify(target)} in the workspace`);
  }
}

async function isSame(files: GatedFiles, kind: EntryInfo['kind'], one: string, other: string): Promise<boolean> {
  if (kind === 'symlink') return (await files.readLink(one)) === (await files.readLink(other));
  if (kind !== 'file') return false;
  const streams = new Cleanup();
  const open = async (path: string) => {
    const { stream } = await files.openFile(path);
    streams.add(() => void stream.destroy());
    return new ByteSource(stream);
  };
  try {
    const [first, second] = [await open(one), await open(other)];
    for (;;) {
      const [piece, counterpart] = [await first.read(PIECE_BYTES), await second.read(PIECE_BYTES)];
      if (!piece.equals(counterpart)) return false;
      if (piece.length === 0) return true;
    }
  } finally {
    await streams.run();
  }
}

interface Move {
  readonly source: string;
  readonly target: string;
}

async function* planMoves(files: GatedFiles, from: string, to: string): AsyncGenerator<Move, void> {
  for (const { name, kind } of await entriesOf(files, from)) {
    const move = { source: posix.join(from, name), target: posix.join(to, name) };
    const there = await statIfThere(files, move.target);
    if (there === undefined) yield move;
    else if (there.kind === 'directory' && kind === 'directory') yield* planMoves(files, move.source, move.target);
    else if (there.kind !== 'directory' && kind !== 'directory') yield move;
    else throw conflict(name, kind === 'directory');
  }
}

/** Everything in a folder. Throws `unsupported` for one that is too large to be held in memory. */
export async function entriesOf(files: GatedFiles, path: string): Promise<readonly ListedEntry[]> {
  const { entries, truncated } = await files.list(path, { maxEntries: MAX_ENTRIES });
  if (!truncated) return entries;
  throw new WorkcellError('unsupported', `A folder holds more than the ${MAX_ENTRIES} entries that can be handled`);
}

export async function statIfThere(files: GatedFiles, path: string): Promise<EntryInfo | undefined> {
  try {
    return await files.stat(path);
  } catch (error) {
    if (isWorkcellError(error) && error.code === 'not_found') return undefined;
    throw error;
  }
}

function conflict(name: string, isFolder: boolean): WorkcellError {
  const [is, there] = isFolder ? ['a folder', 'a file'] : ['a file', 'a folder'];
  return new WorkcellError(
    'invalid_state',
    `Cannot put ${is} in the place of ${there}: ${JSON.stringify(name)}; remove that first`,
  );
}
