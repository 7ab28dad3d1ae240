import { close, openSync, read, readdirSync, readFileSync, write } from 'node:fs';
import { Duplex } from 'node:stream';

const PORTS = '/sys/class/virtio-ports';
const READ_BYTES = 256 * 1024;
/** How soon a port without a host is asked again: each time later, because an emulated CPU has others to serve. */
const RETRY_MS = 50;
const LONGEST_RETRY_MS = 500;

/** The device of the virtio-serial port with this name. Throws when the machine has none. */
export function openPort(name: string): number {
  const device = readdirSync(PORTS).find((port) => readFileSync(`${PORTS}/${port}/name`, 'utf8').trim() === name);
  if (device === undefined) throw new Error(`This guest has no virtio-serial port "${name}"`);
  return openSync(`/dev/${device}`, 'r+');
}

/**
 * A virtio-serial port as a stream that outlives its host: when the host goes, it emits `orphaned`, and gives what the next
 * host sends. What is written in between waits for that host.
 */
export class VirtioPort extends Duplex {
  readonly #fd: number;
  #lastSeen = performance.now();
  #retry: NodeJS.Timeout | undefined;
  #retryMs = RETRY_MS;
  #connected = false;

  constructor(fd: number) {
    super({ readableHighWaterMark: READ_BYTES });
    this.#fd = fd;
  }

  /** Milliseconds without a host; 0 while there is one, as far as is known. */
  get orphanedMs(): number {
    return this.#connected ? 0 : performance.now() - this.#lastSeen;
  }

  override _read(): void {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const asked = performance.now();
    read(this.#fd, buffer, 0, buffer.byteLength, null, (error, bytes) => {
      if (this.destroyed) return;
      if (error !== null) return void this.destroy(error);
      // Without a host, a read returns nothing at once; one that took its time had a host until now.
      if (bytes > 0 || performance.now() - asked > RETRY_MS) this.#seen();
      if (bytes > 0) return void this.push(buffer.subarray(0, bytes));
      if (this.#connected) {
        this.#connected = false;
        this.emit('orphaned');
      }
      this.#retry = setTimeout(() => this._read(), this.#retryMs);
      this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_RETRY_MS);
    });
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    write(this.#fd, chunk, 0, chunk.byteLength, null, (error, bytes) => {
      if (error !== null) done(error);
      else if (bytes < chunk.byteLength) this._write(chunk.subarray(bytes), _encoding, done);
      else done();
    });
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#retry);
    close(this.#fd, () => done(error));
  }

  #seen(): void {
    this.#connected = true;
    this.#retryMs = RETRY_MS;
    this.#lastSeen = performance.now();
  }
}
