export interface IdleMapOptions<Key, Value> {
  readonly make: (key: Key) => Value;
  /** Milliseconds after its last use at which a value is dropped. */
  readonly idleMs: number;
  /** How many values that nobody uses are kept at most; the one that was used longest ago goes first. */
  readonly maxIdle: number;
}

/** A value that stays the one of its key until this is disposed. */
export interface Lease<Value> extends Disposable {
  readonly value: Value;
}

interface Entry<Value> {
  readonly value: Value;
  users: number;
  timer?: NodeJS.Timeout;
}

/** One value for each key, made on demand, never two at a time; those that nobody uses are dropped after a while. */
export class IdleMap<Key, Value> {
  readonly #options: IdleMapOptions<Key, Value>;
  readonly #used = new Map<Key, Entry<Value>>();
  /** In the order of their last use. */
  readonly #idle = new Map<Key, Entry<Value>>();

  constructor(options: IdleMapOptions<Key, Value>) {
    this.#options = options;
  }

  /** How many values there are. */
  get size(): number {
    return this.#used.size + this.#idle.size;
  }

  /** Keeps the value of the key until the lease is disposed. */
  lease(key: Key): Lease<Value> {
    const entry = this.#used.get(key) ?? this.#idle.get(key) ?? { value: this.#options.make(key), users: 0 };
    clearTimeout(entry.timer);
    this.#idle.delete(key);
    this.#used.set(key, entry);
    entry.users += 1;
    let isHeld = true;
    return {
      value: entry.value,
      [Symbol.dispose]: () => {
        if (isHeld) this.#release(key, entry);
        isHeld = false;
      },
    };
  }

  /** Those that are there. */
  values(): readonly Value[] {
    return [...this.#used.values(), ...this.#idle.values()].map(({ value }) => value);
  }

  #release(key: Key, entry: Entry<Value>): void {
    entry.users -= 1;
    if (entry.users > 0) return;
    this.#used.delete(key);
    this.#idle.set(key, entry);
    entry.timer = setTimeout(() => this.#idle.delete(key), this.#options.idleMs).unref();
    const [oldest] = this.#idle;
    if (this.#idle.size <= this.#options.maxIdle || oldest === undefined) return;
    clearTimeout(oldest[1].timer);
    this.#idle.delete(oldest[0]);
  }
}
