/**
 * The framing of the Microsandbox agent protocol: `[len u32 BE][id u32 BE][flags u8][body]`, where `len` counts what
 * follows it. Relays route by `id` and `flags` and never look into the body.
 *
 * Source: superradcompany/microsandbox `crates/protocol/lib/codec.rs`, generation 7.
 */
export interface RawFrame {
  /** Correlation id: which request or session the frame belongs to. */
  readonly id: number;
  readonly flags: number;
  /** CBOR of `{v, t, p}`. */
  readonly body: Uint8Array;
}

/** Bytes that may follow the length field. */
export const MAX_FRAME_BYTES: number = 4 * 1024 * 1024;

/**
 * Clients that can share one agent, and how many ids each has: client n uses those between n times the range and the next
 * multiple. Source: `crates/protocol/lib/lib.rs`.
 */
export const MAX_CLIENTS = 128;
export const CLIENT_ID_RANGE: number = Math.floor(0xffff_ffff / MAX_CLIENTS);

/** Frame flags: the last frame of its id, the first frame of a session, a request to shut the sandbox down. */
export const FLAG = { terminal: 1, sessionStart: 2, shutdown: 4 } as const;

const LENGTH_BYTES = 4;
const HEADER_BYTES = 5;

/** The bytes of one frame. Throws a RangeError when it would be larger than {@link MAX_FRAME_BYTES}. */
export function encodeFrame(frame: RawFrame): Uint8Array {
  const length = HEADER_BYTES + frame.body.byteLength;
  if (length > MAX_FRAME_BYTES) throw new RangeError(`An agent frame of ${length} bytes is over the limit`);
  const bytes = new Uint8Array(LENGTH_BYTES + length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length);
  view.setUint32(4, frame.id);
  view.setUint8(8, frame.flags);
  bytes.set(frame.body, LENGTH_BYTES + HEADER_BYTES);
  return bytes;
}

/** Cuts a byte stream into frames, wherever its chunks happen to be split. Throws a RangeError on an impossible length. */
export class FrameDecoder {
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  #wanted = LENGTH_BYTES;

  /** The frames that `chunk` completes. Their bodies may share memory with the chunk. */
  *push(chunk: Uint8Array): Generator<RawFrame> {
    this.#chunks.push(chunk);
    this.#buffered += chunk.byteLength;
    while (this.#buffered >= this.#wanted) {
      const bytes = this.#joined();
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const length = view.getUint32(0);
      if (length < HEADER_BYTES || length > MAX_FRAME_BYTES)
        throw new RangeError(`An agent frame claims ${length} bytes`);
      const end = LENGTH_BYTES + length;
      if (bytes.byteLength < end) {
        this.#wanted = end;
        return;
      }
      this.#replace(bytes.subarray(end));
      yield { id: view.getUint32(4), flags: view.getUint8(8), body: bytes.subarray(LENGTH_BYTES + HEADER_BYTES, end) };
    }
  }

  /** Bytes that are buffered and do not make up a frame yet. */
  get pendingBytes(): number {
    return this.#buffered;
  }

  #joined(): Uint8Array {
    const [first] = this.#chunks;
    if (this.#chunks.length === 1 && first !== undefined) return first;
    const bytes = new Uint8Array(this.#buffered);
    let offset = 0;
    for (const chunk of this.#chunks) {
      bytes.set(chunk, offset);
      offset += chunk.byteLength;
    }
    this.#replace(bytes);
    return bytes;
  }

  #replace(bytes: Uint8Array): void {
    this.#chunks = bytes.byteLength === 0 ? [] : [bytes];
    this.#buffered = bytes.byteLength;
    this.#wanted = LENGTH_BYTES;
  }
}
