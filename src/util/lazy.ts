/** A value that is made once, when it is first needed, for all who ask; when making it fails, the next one who asks tries again. */
export class Lazy<T> {
  #value: Promise<T> | undefined;

  /** `make` is called when there is no value and nobody makes one. */
  get(make: () => Promise<T>): Promise<T> {
    this.#value ??= make().catch((error) => {
      this.#value = undefined;
      throw error;
    });
    return this.#value;
  }

  /** Waits for one that is being made; undefined when there is none. */
  async find(): Promise<T | undefined> {
    return this.#value?.catch(() => undefined);
  }
}
