/**
 * The index of a session: which landmarks its log has, and where.
 *
 * It lies beside the log, is written after it and never synced, so it can be missing, short, torn or of another log. None
 * of that is believed: a landmark counts when its sum is right and it lies within the log that the index names; the last
 * one is compared with the line that it points to; and what the log holds after that is read.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isWorkcellError } from '../core/errors.ts';
import { errnoOf } from '../util/errno.ts';
import { encodeLandmark, LANDMARK_BYTES, type Landmark, type Line, landmarkAfter } from './landmark.ts';
import { LandmarkList } from './landmark-list.ts';
import { SessionHistory, type SessionSource } from './session-history.ts';

export interface IndexedSource extends SessionSource {
  readonly indexPath: string;
}

/** All landmarks of a log up to its end. Throws `storage_failed` when the log cannot be read. */
export async function readIndex(source: IndexedSource): Promise<LandmarkList> {
  if (source.end === 0) return new LandmarkList(Buffer.alloc(0));
  const list = await storedLandmarks(source);
  let last = list.last;
  for await (const line of new SessionHistory(source).lines({ after: last })) {
    const landmark = landmarkAfter(last, line);
    if (landmark === undefined) continue;
    list.push(landmark);
    last = landmark;
  }
  return list;
}

/** The byte before which a log was synced: landmarks are written when their lines are. */
export async function vouchedEnd(source: IndexedSource): Promise<number> {
  return (await storedLandmarks(source)).last?.end ?? 0;
}

interface OpenedIndex {
  readonly writer: IndexWriter;
  readonly added: readonly Landmark[];
  readonly isDamaged: boolean;
}

/** Writes the index of a log while the log grows. Nothing fails when it cannot: an index that is short is completed. */
export class IndexWriter implements AsyncDisposable {
  readonly #source: IndexedSource;
  #file: FileHandle | undefined;
  #count: number;
  #last: Landmark | undefined;
  #isBroken = false;

  private constructor(source: IndexedSource, list: LandmarkList) {
    this.#source = source;
    this.#count = list.stored;
    this.#last = list.last;
  }

  /**
   * Completes the index of a log that nobody else writes to. `added`: what was missing in it. A log that `isDamaged` can be
   * written to, and has no index then.
   */
  static async open(source: IndexedSource): Promise<OpenedIndex> {
    try {
      const list = await readIndex(source);
      const writer = new IndexWriter(source, list);
      if (list.length > 0) await writer.#write(list.tail);
      return { writer, added: list.tail, isDamaged: false };
    } catch (error) {
      if (!isWorkcellError(error) || error.code !== 'storage_failed') throw error;
      const writer = new IndexWriter(source, new LandmarkList(Buffer.alloc(0)));
      writer.#isBroken = true;
      return { writer, added: [], isDamaged: true };
    }
  }

  /** Adds what of these lines, which are on disk, is a landmark. */
  async add(lines: readonly Line[]): Promise<void> {
    const landmarks: Landmark[] = [];
    for (const line of lines) {
      const landmark = landmarkAfter(this.#last, line);
      if (landmark === undefined) continue;
      landmarks.push(landmark);
      this.#last = landmark;
    }
    if (landmarks.length > 0) await this.#write(landmarks);
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #write(landmarks: readonly Landmark[]): Promise<void> {
    if (this.#isBroken) return;
    try {
      this.#file ??= await openIndex(this.#source, this.#count);
      const first = this.#count;
      await this.#file.writeFile(Buffer.concat(landmarks.map((each, index) => encodeLandmark(each, first + index))));
      this.#count += landmarks.length;
    } catch {
      this.#isBroken = true;
    }
  }
}

/** The landmarks in the index file that can be believed. */
async function storedLandmarks(source: IndexedSource): Promise<LandmarkList> {
  const [bytes, head, size] = await Promise.all([readIfThere(source.indexPath), headOf(source.path), sizeOf(source)]);
  if (head === undefined || !bytes.subarray(0, LANDMARK_BYTES).equals(head)) return new LandmarkList(Buffer.alloc(0));
  const list = new LandmarkList(bytes.subarray(LANDMARK_BYTES)).upTo(size);
  const { last } = list;
  return last === undefined || (await isThere(source, last)) ? list : new LandmarkList(Buffer.alloc(0));
}

async function isThere(source: IndexedSource, landmark: Landmark): Promise<boolean> {
  const { seq, type, executionId } = landmark;
  try {
    for await (const line of new SessionHistory(source).lines({ from: landmark, end: landmark.end })) {
      const id = line.executionId ?? '';
      return (
        line.seq === seq && line.end === landmark.end && (type === 'mark' || (line.type === type && id === executionId))
      );
    }
  } catch (error) {
    // In the middle of a line there is no event; a key that is missing is another matter.
    if (!isWorkcellError(error) || error.code !== 'storage_failed') throw error;
  }
  return false;
}

/** The index file with its head and `count` landmarks, to append to. */
async function openIndex(source: IndexedSource, count: number): Promise<FileHandle> {
  await mkdir(dirname(source.indexPath), { recursive: true, mode: 0o700 });
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
  const file = await open(source.indexPath, flags, 0o600);
  try {
    await file.truncate(count === 0 ? 0 : (count + 1) * LANDMARK_BYTES);
    if (count === 0) await file.writeFile((await headOf(source.path)) ?? '');
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** What an index begins with: its version, and the sum of the first line of its log. Undefined for a log without a line. */
async function headOf(logPath: string): Promise<Buffer | undefined> {
  await using log = await openIfThere(logPath);
  const bytes = Buffer.alloc(HEAD_LINE_BYTES);
  const { bytesRead = 0 } = (await log?.read(bytes, 0, bytes.length, 0)) ?? {};
  const end = bytes.subarray(0, bytesRead).indexOf('\n');
  if (end < 0 && bytesRead < bytes.length) return undefined;
  const head = Buffer.alloc(LANDMARK_BYTES);
  head.write(MAGIC);
  createHash('sha256')
    .update(bytes.subarray(0, end < 0 ? bytesRead : end))
    .digest()
    .copy(head, MAGIC.length);
  return head;
}

const MAGIC = 'workcell-landmarks-2\n';
const HEAD_LINE_BYTES = 64 * 1024;

async function sizeOf({ path, end }: IndexedSource): Promise<number> {
  await using log = await openIfThere(path);
  return Math.min((await log?.stat())?.size ?? 0, end ?? Infinity);
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function readIfThere(path: string): Promise<Buffer> {
  try {
    return await readFile(path, { flag: constants.O_RDONLY | constants.O_NOFOLLOW });
  } catch {
    return Buffer.alloc(0);
  }
}
