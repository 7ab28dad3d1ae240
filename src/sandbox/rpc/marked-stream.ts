/** A byte stream in which a marker is awaited; what comes before and after it is passed on, the marker is not. */
export class MarkedStream {
  readonly #onData: (data: Buffer) => void;
  #marker: Buffer | undefined;
  #onMarker: () => void = () => {};
  /** The end of what has come, where a marker may have begun. */
  #held: Buffer = Buffer.alloc(0);

  constructor(onData: (data: Buffer) => void) {
    this.#onData = onData;
  }

  /** One marker at a time; `onMarker` is called when everything before it has been passed on. */
  expect(marker: Buffer, onMarker: () => void): void {
    this.#marker = marker;
    this.#onMarker = onMarker;
  }

  push(chunk: Uint8Array): void {
    const marker = this.#marker;
    if (marker === undefined) {
      this.#onData(Buffer.from(chunk));
      return;
    }
    const data = Buffer.concat([this.#held, chunk]);
    const at = data.indexOf(marker);
    if (at < 0) {
      const safe = Math.max(0, data.byteLength - marker.byteLength + 1);
      this.#pass(data.subarray(0, safe));
      this.#held = data.subarray(safe);
      return;
    }
    this.#pass(data.subarray(0, at));
    this.#marker = undefined;
    this.#held = Buffer.alloc(0);
    this.#onMarker();
    this.#pass(data.subarray(at + marker.byteLength));
  }

  /** No marker comes any more. */
  end(): void {
    this.#marker = undefined;
    this.#pass(this.#held);
    this.#held = Buffer.alloc(0);
  }

  #pass(data: Buffer): void {
    if (data.byteLength > 0) this.#onData(data);
  }
}
