import type { Random } from '../unit/random.ts';

const EDGE_NUMBERS = [0, -0, -1, 1, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53), 1e308, 0.5, Number.NaN, Infinity] as const;
const EDGE_TEXTS = [
  '',
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  '..',
  '/',
  '/a/../b',
  '\0',
  '\ud800',
] as const;
const EDGE_BYTES = [0, 1, 0x18, 0x1b, 0x3b, 0x5f, 0x7f, 0x80, 0x9b, 0x9f, 0xbf, 0xc0, 0xd8, 0xf9, 0xfb, 0xff] as const;

/** Some bytes of `seed`, changed, cut, repeated or moved in a few places. */
export function mutateBytes(seed: Uint8Array, random: Random): Uint8Array {
  let bytes = Uint8Array.from(seed);
  for (let n = random.integer(1, 4); n > 0; n--) bytes = mutateOnce(bytes, random);
  return bytes;
}

function mutateOnce(bytes: Uint8Array<ArrayBuffer>, random: Random): Uint8Array<ArrayBuffer> {
  const at = random.integer(0, Math.max(0, bytes.length - 1));
  const end = Math.min(bytes.length, at + random.integer(1, 16));
  switch (random.integer(0, 6)) {
    case 0:
      return withByte(bytes, at, random.integer(0, 255));
    case 1:
      return withByte(bytes, at, random.pick(EDGE_BYTES));
    case 2:
      return withByte(bytes, at, (bytes[at] ?? 0) ^ (1 << random.integer(0, 7)));
    case 3:
      return bytes.slice(0, at);
    case 4:
      return join(bytes.subarray(0, at), bytes.subarray(end));
    case 5:
      return join(bytes.subarray(0, end), bytes.subarray(at));
    default:
      return join(bytes.subarray(0, at), Uint8Array.from([random.pick(EDGE_BYTES)]), bytes.subarray(at));
  }
}

/** A copy of a JSON value in which something is another value, missing, or there as well. */
export function mutateJson(seed: unknown, random: Random): unknown {
  let value = seed;
  for (let n = random.integer(1, 3); n > 0; n--) value = mutateAt(value, random);
  return value;
}

function mutateAt(value: unknown, random: Random): unknown {
  const goDeeper = random.next() < 0.8;
  if (Array.isArray(value) && goDeeper) {
    const at = random.integer(0, value.length);
    return [...value.slice(0, at), mutateAt(value[at], random), ...value.slice(at + random.integer(0, 1))];
  }
  if (typeof value === 'object' && value !== null && goDeeper) return mutateObject(value, random);
  return anything(value, random);
}

function mutateObject(object: object, random: Random): unknown {
  const entries = Object.entries(object);
  const at = random.integer(0, entries.length);
  const [key, old] = entries[at] ?? [random.pick(EDGE_TEXTS), 1];
  const kept = entries.filter((_, index) => index !== at);
  // As `JSON.parse` makes it: `__proto__` is a key like any other.
  if (random.next() < 0.15) return Object.fromEntries(kept);
  const name = random.next() < 0.1 ? random.pick(EDGE_TEXTS) : key;
  return Object.fromEntries([...kept, [name, mutateAt(old, random)]]);
}

function anything(old: unknown, random: Random): unknown {
  switch (random.integer(0, 9)) {
    case 0:
      return null;
    case 1:
      return random.next() < 0.5;
    case 2:
      return random.pick(EDGE_NUMBERS);
    case 3:
      return random.pick(EDGE_TEXTS);
    case 4:
      return [old, old];
    case 5:
      return { [random.pick(EDGE_TEXTS)]: old };
    case 6:
      return [];
    case 7:
      return {};
    case 8:
      return typeof old === 'string' ? old.repeat(random.integer(2, 64)).slice(0, 8192) : JSON.stringify(old);
    default:
      return nested(random.integer(1, 200));
  }
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let n = 0; n < depth; n++) value = n % 2 === 0 ? [value] : { a: value };
  return value;
}

function withByte(bytes: Uint8Array<ArrayBuffer>, at: number, byte: number): Uint8Array<ArrayBuffer> {
  bytes[at] = byte;
  return bytes;
}

function join(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
