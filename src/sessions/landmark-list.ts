import { decodeLandmark, LANDMARK_BYTES, type Landmark } from './landmark.ts';

/** The landmarks of one log in its order: those that its index file holds, as their bytes, and those that follow. */
export class LandmarkList {
  readonly #stored: Buffer;
  readonly #tail: Landmark[] = [];

  /** `bytes`: landmarks one after the other; what follows the first that is damaged is left out. */
  constructor(bytes: Buffer) {
    let count = 0;
    while ((count + 1) * LANDMARK_BYTES <= bytes.length && at(bytes, count) !== undefined) count++;
    this.#stored = bytes.subarray(0, count * LANDMARK_BYTES);
  }

  get length(): number {
    return this.stored + this.#tail.length;
  }

  /** How many are in the file. */
  get stored(): number {
    return this.#stored.length / LANDMARK_BYTES;
  }

  /** Those that are not in the file. */
  get tail(): readonly Landmark[] {
    return this.#tail;
  }

  get last(): Landmark | undefined {
    return this.at(this.length - 1);
  }

  at(ordinal: number): Landmark | undefined {
    if (ordinal < 0) return undefined;
    return ordinal < this.stored ? at(this.#stored, ordinal) : this.#tail[ordinal - this.stored];
  }

  push(landmark: Landmark): void {
    this.#tail.push(landmark);
  }

  /** The same without those that end beyond `end`. */
  upTo(end: number): LandmarkList {
    let count = this.stored;
    while (count > 0 && (at(this.#stored, count - 1)?.end ?? 0) > end) count--;
    return new LandmarkList(this.#stored.subarray(0, count * LANDMARK_BYTES));
  }

  /** The ordinal of the first whose line begins at `start` or after it. */
  ordinalAt(start: number): number {
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.at(middle)?.start ?? 0) < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  *forward(from = 0): Generator<Landmark> {
    for (let ordinal = from, found = this.at(ordinal); found !== undefined; found = this.at(++ordinal)) yield found;
  }

  *backward(from = this.length - 1): Generator<Landmark> {
    for (let ordinal = from, found = this.at(ordinal); found !== undefined; found = this.at(--ordinal)) yield found;
  }
}

function at(bytes: Buffer, ordinal: number): Landmark | undefined {
  return decodeLandmark(bytes.subarray(ordinal * LANDMARK_BYTES, (ordinal + 1) * LANDMARK_BYTES), ordinal);
}
