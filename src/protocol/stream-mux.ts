import { Duplex } from 'node:stream';
import { encodeFrame, FrameDecoder, type RawFrame } from './agent-frames.ts';

/**
 * Many byte streams over one, in frames `[len u32][stream u32][flags u8][bytes]`.
 *
 * Each stream has a window: a side sends at most {@link WINDOW_BYTES} that the other has not consumed, so that a stream that
 * nobody reads neither holds up the others nor grows. One side opens streams, the other accepts them.
 */
export const WINDOW_BYTES: number = 256 * 1024;

const CHUNK_BYTES = 32 * 1024;
const FLAG = { open: 1, end: 2, reset: 4, window: 8 } as const;
const NOTHING = new Uint8Array();

export class StreamMux {
  readonly #transport: Duplex;
  readonly #streams = new Map<number, MuxStream>();
  readonly #accept: ((stream: Duplex) => boolean) | undefined;
  #lastId = 0;
  /** Those that wait until the transport takes more. */
  readonly #blocked: (() => void)[] = [];

  /** `accept` is called for each stream that the other side opens, and says whether it is taken. */
  constructor(transport: Duplex, accept?: (stream: Duplex) => boolean) {
    this.#transport = transport;
    this.#accept = accept;
    const frames = new FrameDecoder();
    transport.on('data', (chunk: Buffer) => {
      try {
        for (const frame of frames.push(chunk)) this.#receive(frame);
      } catch {
        transport.destroy();
      }
    });
    transport.on('drain', () => {
      for (const resume of this.#blocked.splice(0)) resume();
    });
    transport.on('error', () => {});
    transport.on('end', () => transport.destroy());
    transport.on('close', () => this.#closeAll());
  }

  open(): Duplex {
    this.#lastId = (this.#lastId % 0xffff_fffe) + 1;
    const stream = this.#add(this.#lastId);
    this.#send(this.#lastId, FLAG.open, NOTHING);
    return stream;
  }

  get size(): number {
    return this.#streams.size;
  }

  #add(id: number): MuxStream {
    const stream = new MuxStream({
      send: (flag, bytes) => this.#send(id, flag === 'data' ? 0 : FLAG[flag], bytes),
      whenWritable: (resume) => {
        if (this.#transport.writableNeedDrain) this.#blocked.push(resume);
        else resume();
      },
      forget: () => this.#streams.delete(id),
    });
    this.#streams.set(id, stream);
    return stream;
  }

  #receive({ id, flags, body }: RawFrame): void {
    const stream = this.#streams.get(id);
    if (flags === FLAG.open) {
      if (stream !== undefined || this.#accept === undefined)
        throw new RangeError('A stream was opened twice, or by the wrong side');
      if (!this.#accept(this.#add(id))) this.#streams.get(id)?.destroy();
    } else stream?.receive(flags, body);
    // Frames of a stream that was reset a moment ago are still on their way: they are dropped.
  }

  #send(id: number, flags: number, body: Uint8Array): void {
    if (!this.#transport.destroyed) this.#transport.write(encodeFrame({ id, flags, body }));
  }

  #closeAll(): void {
    for (const stream of this.#streams.values()) stream.destroy();
    for (const resume of this.#blocked.splice(0)) resume();
  }
}

interface MuxLink {
  send(flag: keyof typeof FLAG | 'data', bytes: Uint8Array): void;
  whenWritable(resume: () => void): void;
  forget(): void;
}

class MuxStream extends Duplex {
  readonly #link: MuxLink;
  #credit = WINDOW_BYTES;
  /** Bytes that came in and were not granted again. */
  #owed = 0;
  #waiting: (() => void) | undefined;
  #remoteDone = false;

  constructor(link: MuxLink) {
    super({ allowHalfOpen: true, readableHighWaterMark: CHUNK_BYTES, writableHighWaterMark: CHUNK_BYTES });
    this.#link = link;
    // A reset shows as an early close; whoever pipes it does not have to listen for an error too.
    this.on('error', () => {});
  }

  receive(flags: number, body: Uint8Array): void {
    if (flags === FLAG.window) this.#granted(body);
    else if (flags === FLAG.reset) this.#wasReset();
    else if (flags === FLAG.end) this.push(null);
    else {
      this.#owed += body.byteLength;
      if (this.#owed > WINDOW_BYTES) throw new RangeError('More was sent than the window allows');
      this.push(body);
    }
  }

  override _read(): void {
    if (this.#owed === 0) return;
    const grant = new Uint8Array(4);
    new DataView(grant.buffer).setUint32(0, this.#owed);
    this.#owed = 0;
    this.#link.send('window', grant);
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    let offset = 0;
    const step = () => {
      while (offset < chunk.byteLength && this.#credit > 0 && !this.destroyed) {
        const size = Math.min(CHUNK_BYTES, this.#credit, chunk.byteLength - offset);
        this.#link.send('data', chunk.subarray(offset, offset + size));
        this.#credit -= size;
        offset += size;
      }
      if (this.destroyed) done(new Error('The stream is closed'));
      else if (offset < chunk.byteLength) this.#waiting = step;
      else this.#link.whenWritable(() => done());
    };
    step();
  }

  override _final(done: () => void): void {
    this.#link.send('end', NOTHING);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const complete = this.readableEnded && this.writableFinished;
    if (!complete && !this.#remoteDone) this.#link.send('reset', NOTHING);
    this.#link.forget();
    this.#waiting?.();
    done(error);
  }

  #granted(body: Uint8Array): void {
    if (body.byteLength !== 4) throw new RangeError('A window has four bytes');
    this.#credit += new DataView(body.buffer, body.byteOffset, 4).getUint32(0);
    if (this.#credit > WINDOW_BYTES) throw new RangeError('More was granted than the window has');
    const resume = this.#waiting;
    this.#waiting = undefined;
    resume?.();
  }

  #wasReset(): void {
    this.#remoteDone = true;
    this.destroy(new Error('The other side has reset the stream'));
  }
}
