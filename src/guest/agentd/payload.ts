/** A payload, or a part of one, that is not what its message type asks for. */
export class InvalidPayload extends Error {}

/** Gives the value when it is what it should be; throws {@link InvalidPayload} with its `path` otherwise. */
export type Check<T> = (value: unknown, path: string) => T;

/** What a check lets through. */
export type Checked<C> = C extends Check<infer T> ? T : never;

export const text: Check<string> = (value, path) => {
  if (typeof value !== 'string') throw wrong(path, 'a string');
  return value;
};

export const flag: Check<boolean> = (value, path) => {
  if (typeof value !== 'boolean') throw wrong(path, 'a boolean');
  return value;
};

export const bytes: Check<Uint8Array> = (value, path) => {
  if (!(value instanceof Uint8Array)) throw wrong(path, 'a byte string');
  return value;
};

export function integer(min: number, max: number): Check<number> {
  return (value, path) => {
    const number = typeof value === 'bigint' ? Number(value) : value;
    // Beyond 2^53 a number has lost its last digits, and still says how large it was meant to be.
    if (typeof number !== 'number' || !(Number.isInteger(number) && number >= min && number <= max)) {
      throw wrong(path, `an integer from ${min} to ${max}`);
    }
    return number;
  };
}

export const u16: Check<number> = integer(0, 0xffff);
export const u32: Check<number> = integer(0, 0xffff_ffff);
export const i32: Check<number> = integer(-(2 ** 31), 2 ** 31 - 1);
export const u64: Check<number> = integer(0, 2 ** 64);
export const i64: Check<number> = integer(-(2 ** 63), 2 ** 63);

/** What is absent or null is undefined. */
export function optional<T>(check: Check<T>): Check<T | undefined> {
  return (value, path) => (value === undefined || value === null ? undefined : check(value, path));
}

/** What is absent is `fallback`; null is not absent. */
export function withDefault<T>(check: Check<T>, fallback: T): Check<T> {
  return (value, path) => (value === undefined ? fallback : check(value, path));
}

export function list<T>(check: Check<T>): Check<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw wrong(path, 'an array');
    return value.map((item, index) => check(item, `${path}[${index}]`));
  };
}

/** Other fields are left out, as a newer client may send them. */
export function record<Fields extends Readonly<Record<string, Check<unknown>>>>(
  fields: Fields,
): Check<{ readonly [Name in keyof Fields]: Checked<Fields[Name]> }> {
  return (value, path) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
      throw wrong(path, 'a map');
    }
    const entries = Object.entries(fields).map(([name, check]) => [
      name,
      check((value as Record<string, unknown>)[name], path === '' ? name : `${path}.${name}`),
    ]);
    // Each entry has just come out of the check of its field.
    return Object.fromEntries(entries) as { readonly [Name in keyof Fields]: Checked<Fields[Name]> };
  };
}

function wrong(path: string, wanted: string): InvalidPayload {
  return new InvalidPayload(path === '' ? `it is not ${wanted}` : `"${path}" is not ${wanted}`);
}
