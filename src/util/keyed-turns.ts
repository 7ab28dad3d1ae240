import { Turns } from './turns.ts';

/** Runs pieces of work for the same key one after the other, and those for different keys at the same time. */
export class KeyedTurns {
  readonly #lines = new Map<string, { readonly turns: Turns; waiting: number }>();

  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(key) ?? { turns: new Turns(), waiting: 0 };
    this.#lines.set(key, line);
    line.waiting += 1;
    try {
      return await line.turns.take(work);
    } finally {
      line.waiting -= 1;
      if (line.waiting === 0) this.#lines.delete(key);
    }
  }
}
