import type { FileHandle } from 'node:fs/promises';
import { clientOf, MAX_FRAME_BYTES } from '../../protocol/agent-frames.ts';
import { DATA_CHUNK_BYTES, encodeMessage, type FsResponseData } from '../../protocol/agent-messages.ts';
import type { AgentLink } from './agent-options.ts';
import { messageOfError } from './errno.ts';
import { FsHandles } from './fs-handles.ts';
import { OPERATIONS, type PlainOperation } from './fs-operations.ts';
import type { Intake } from './intake.ts';
import type { FsOperation, FsOperations } from './requests.ts';
import { Upload } from './upload.ts';

/** How many operations one client may have going on. */
const MAX_OPERATIONS = 256;
/** What a frame has besides its body, generously. */
const FRAME_ROOM_BYTES = 64;

/** Files that clients look at, open, read and write. */
export class FsSessions {
  readonly #link: AgentLink;
  readonly #intake: Intake;
  readonly #handles = new FsHandles();
  readonly #open = new Map<number, Operation>();

  constructor(link: AgentLink, intake: Intake) {
    this.#link = link;
    this.#intake = intake;
  }

  has(id: number): boolean {
    return this.#open.has(id);
  }

  request(id: number, request: FsOperation): void {
    const open = [...this.#open.keys()].filter((other) => clientOf(other) === clientOf(id)).length;
    const operation: Operation = { id, gone: false };
    if (open >= MAX_OPERATIONS) {
      this.#answer(operation, { error: `too many filesystem operations at once for relay client: ${open}` });
      return;
    }
    this.#open.set(id, operation);
    if (request.name === 'Write') this.#write(operation, request.args);
    else void this.#perform(operation, request);
  }

  data(id: number, data: Uint8Array): void {
    const upload = this.#open.get(id)?.upload;
    if (upload === undefined) this.#answer({ id, gone: false }, { error: `unknown write session: ${id}` });
    else upload.push(data);
  }

  /** Ends what the clients in this range of ids are doing, and closes what they have open. */
  forget(start: number, end: number): void {
    for (const [id, operation] of this.#open) {
      if (id < start || id >= end) continue;
      this.#open.delete(id);
      operation.gone = true;
      operation.upload?.cancel();
    }
    for (let client = clientOf(start); client <= clientOf(end - 1); client++) this.#handles.forget(client);
  }

  async #perform(operation: Operation, request: Exclude<FsOperation, { name: 'Write' }>): Promise<void> {
    const prefix = request.name === 'Read' ? 'read' : OPERATIONS[request.name].prefix;
    try {
      if (request.name === 'Read') {
        await this.#read(operation, request.args);
        this.#answer(operation, { data: null });
      } else this.#answer(operation, { data: await this.#plain(operation, request.name, request.args) });
    } catch (error) {
      this.#answer(operation, { error: `${prefix}: ${messageOfError(error)}` });
    }
  }

  async #plain<Name extends PlainOperation>(operation: Operation, name: Name, args: unknown): Promise<Data> {
    // The arguments were checked as those of this very operation.
    const data = await OPERATIONS[name].perform(args as FsOperations[Name], this.#handles, operation.id);
    // Its client went while it was being opened, and the next client with these ids shall not get it.
    if (operation.gone && data !== null && 'Handle' in data) await this.#handles.close(operation.id, data.Handle);
    return data;
  }

  async #read(operation: Operation, { handle, offset, len }: FsOperations['Read']): Promise<void> {
    const { file, read } = this.#handles.file(operation.id, handle);
    if (!read) throw new Error(`handle ${handle} is not open for reading`);
    const end = len === undefined ? Number.POSITIVE_INFINITY : offset + len;
    for (let position = offset; position < end; ) {
      const data = await readChunk(file, position, end);
      if (data.byteLength === 0 || operation.gone) return;
      position += data.byteLength;
      const goOn = this.#link.send(encodeMessage(operation.id, 'core.fs.data', { data }));
      if (!goOn) await new Promise<void>((resolve) => this.#link.onDrain(resolve));
    }
  }

  #write(operation: Operation, { handle, offset, len }: FsOperations['Write']): void {
    try {
      const { file, write, append } = this.#handles.file(operation.id, handle);
      if (!write) throw new Error(`handle ${handle} is not open for writing`);
      const onEnd = (error?: string) => this.#answer(operation, error === undefined ? { data: null } : { error });
      const target = { file, offset: append ? undefined : offset, expected: len };
      operation.upload = new Upload(target, this.#intake, onEnd);
    } catch (error) {
      this.#answer(operation, { error: `write: ${messageOfError(error)}` });
    }
  }

  #answer(operation: Operation, { data = null, error = null }: { data?: Data; error?: string | null }): void {
    const { id, gone } = operation;
    if (gone) return;
    if (this.#open.get(id) === operation) this.#open.delete(id);
    const message = encodeMessage(id, 'core.fs.response', { ok: error === null, error, data });
    if (message.body.byteLength + FRAME_ROOM_BYTES <= MAX_FRAME_BYTES) this.#link.send(message);
    else
      this.#answer(operation, {
        error: 'the answer is too large for one message; open the folder and page through it',
      });
  }
}

type Data = FsResponseData | null;

/** A request that is not answered yet. */
interface Operation {
  readonly id: number;
  /** Its client is, so that nobody is told how it ended. */
  gone: boolean;
  upload?: Upload;
}

async function readChunk(file: FileHandle, position: number, end: number): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafe(Math.min(end - position, DATA_CHUNK_BYTES));
  const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, position);
  return buffer.subarray(0, bytesRead);
}
