import type { Token } from './tokenize.ts';
import { FIELDS } from './tool-text.ts';

/** Where one term occurs: in the tool of a slot, with the numbers of occurrences in its fields packed into one integer. */
export interface TermPostings {
  readonly slots: number[];
  readonly counts: number[];
}

/** Bits of one field in a packed count; what occurs more often counts as often as fits. */
const COUNT_BITS = 5;
const MAX_COUNT = (1 << COUNT_BITS) - 1;

export function countIn(field: number, counts: number): number {
  return (counts >> (COUNT_BITS * field)) & MAX_COUNT;
}

/** The inverted index: texts go in and out one by one, and everything that is known of all of them is a sum. */
export class Postings {
  readonly #lists = new Map<string, TermPostings>();
  readonly #terms: (readonly string[])[] = [];
  readonly #lengths: number[] = [];
  readonly #sums: number[] = FIELDS.map(() => 0);
  readonly #free: number[] = [];
  #weights: Float64Array | undefined;

  /** How many texts there are. */
  get size(): number {
    return this.#terms.length - this.#free.length;
  }

  /** One above the highest slot that was ever taken. */
  get slots(): number {
    return this.#terms.length;
  }

  find(term: string): TermPostings | undefined {
    return this.#lists.get(term);
  }

  /** How many texts hold the term. */
  frequency(term: string): number {
    return this.#lists.get(term)?.slots.length ?? 0;
  }

  /**
   * What one occurrence in each field of each slot counts: the weight of the field, less where the field is longer than
   * others. Place `slot * FIELDS.length + field`.
   */
  weights(): Float64Array {
    if (this.#weights !== undefined) return this.#weights;
    const averages = this.#sums.map((sum) => sum / Math.max(1, this.size) || 1);
    this.#weights = Float64Array.from(this.#lengths, (length, place) => {
      const field = place % FIELDS.length;
      const { weight, lengthLoss } = FIELDS[field] as (typeof FIELDS)[number];
      return weight / (1 - lengthLoss + (lengthLoss * length) / (averages[field] ?? 1));
    });
    return this.#weights;
  }

  /** Gives the slot that the text lies in until it is removed. */
  add(fields: readonly (readonly Token[])[]): number {
    const slot = this.#free.pop() ?? this.#terms.length;
    const counts = new Map<string, number>();
    for (const [field, tokens] of fields.entries()) {
      this.#setLength(slot, field, tokens.filter(({ compound }) => !compound).length);
      const one = 1 << (COUNT_BITS * field);
      for (const { term } of tokens) {
        const packed = counts.get(term) ?? 0;
        if (countIn(field, packed) < MAX_COUNT) counts.set(term, packed + one);
      }
    }
    for (const [term, packed] of counts) {
      const list = this.#lists.get(term);
      if (list === undefined) this.#lists.set(term, { slots: [slot], counts: [packed] });
      else {
        list.slots.push(slot);
        list.counts.push(packed);
      }
    }
    this.#terms[slot] = [...counts.keys()];
    return slot;
  }

  remove(slot: number): void {
    for (const term of this.#terms[slot] ?? []) {
      const list = this.#lists.get(term);
      const place = list?.slots.indexOf(slot) ?? -1;
      if (list === undefined || place < 0) continue;
      list.slots.splice(place, 1);
      list.counts.splice(place, 1);
      if (list.slots.length === 0) this.#lists.delete(term);
    }
    for (const field of FIELDS.keys()) this.#setLength(slot, field, 0);
    this.#terms[slot] = [];
    this.#free.push(slot);
  }

  #setLength(slot: number, field: number, length: number): void {
    const place = slot * FIELDS.length + field;
    this.#sums[field] = (this.#sums[field] ?? 0) - (this.#lengths[place] ?? 0) + length;
    this.#lengths[place] = length;
    this.#weights = undefined;
  }
}
