/** Collects text up to a number of bytes; what is over is counted by whoever sent it, and dropped. */
export class BoundedText {
  readonly #limit: number;
  #text = '';
  #bytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get text(): string {
    return this.#text;
  }

  /** The part of `text` that was still within the limit. */
  append(text: string): string {
    const bytes = Buffer.byteLength(text);
    const room = this.#limit - this.#bytes;
    const kept = bytes <= room ? text : cut(text, room);
    this.#text += kept;
    this.#bytes += Math.min(bytes, room);
    return kept;
  }
}

/** The longest start of `text` that fits, without half a character at its end. */
function cut(text: string, bytes: number): string {
  return Buffer.from(text)
    .subarray(0, Math.max(0, bytes))
    .toString('utf8')
    .replace(/\uFFFD$/, '');
}
