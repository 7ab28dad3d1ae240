/** Pieces of bytes, taken out in the portions that a reader wants; holds one piece at a time. */
export class ByteSource {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** The next bytes: as many as asked for, or what is left when the source ends before. */
  async read(count: number): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    let missing = count;
    for await (const part of this.portion(count)) {
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts, count - missing);
  }

  /** The next bytes, piece by piece; ends early when the source does. */
  async *portion(count: number): AsyncGenerator<Uint8Array, void> {
    for (let missing = count; missing > 0; ) {
      const piece = await this.#next();
      if (piece === undefined) return;
      const part = piece.subarray(0, missing);
      this.#rest = piece.subarray(part.length);
      missing -= part.length;
      yield part;
    }
  }

  /** All that is left. */
  async *remaining(): AsyncGenerator<Uint8Array, void> {
    for (let piece = await this.#next(); piece !== undefined; piece = await this.#next()) {
      this.#rest = new Uint8Array(0);
      yield piece;
    }
  }

  /** Puts bytes in front of what comes next. */
  unread(bytes: Uint8Array): void {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([bytes, this.#rest]);
  }

  /** Lets go of the source. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }

  async #next(): Promise<Uint8Array | undefined> {
    while (this.#rest.length === 0) {
      const { value, done } = await this.#pieces.next();
      if (done === true) return undefined;
      this.#rest = value;
    }
    return this.#rest;
  }
}
