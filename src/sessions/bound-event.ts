import { messageOf, WorkcellError } from '../core/errors.ts';
import { DEFAULT_LIMITS } from '../core/limits.ts';
import type { SessionEvent } from './events.ts';

const KIB = 1024;

/** Bytes kept of each field: of a text in UTF-8, of anything else as JSON. Fields not named here are short by nature. */
export const FIELD_LIMITS: Readonly<Record<string, number>> = {
  task: 64 * KIB,
  description: 64 * KIB,
  program: 2 * DEFAULT_LIMITS.codeBytes,
  'request.code': 2 * DEFAULT_LIMITS.codeBytes,
  arguments: DEFAULT_LIMITS.valueBytes,
  value: DEFAULT_LIMITS.valueBytes,
  text: DEFAULT_LIMITS.outputBytes,
  'error.message': 16 * KIB,
  'error.stack': 64 * KIB,
  'error.fields': 64 * KIB,
  'error.details': 64 * KIB,
  reason: 16 * KIB,
  context: DEFAULT_LIMITS.valueBytes,
};

export interface BoundEvent {
  readonly event: SessionEvent;
  /** The fields that were cut. */
  readonly truncated: readonly string[];
}

/** The event with every field within {@link FIELD_LIMITS}. Throws `invalid_argument` when a field is not JSON. */
export function boundEvent(event: SessionEvent): BoundEvent {
  const truncated: string[] = [];
  return { event: boundFields(event, '', truncated), truncated };
}

function boundFields<T extends object>(fields: T, prefix: string, truncated: string[]): T {
  const kept = Object.entries(fields).map(([name, value]) => [name, boundField(`${prefix}${name}`, value, truncated)]);
  // Cutting keeps the type of every text, and only fields of any type become null.
  return Object.fromEntries(kept) as T;
}

function boundField(name: string, value: unknown, truncated: string[]): unknown {
  if ((name === 'error' || name === 'request') && typeof value === 'object' && value !== null)
    return boundFields(value, `${name}.`, truncated);
  const limit = FIELD_LIMITS[name];
  if (limit === undefined || sizeOf(name, value) <= limit) return value;
  truncated.push(name);
  return typeof value === 'string' ? cutText(value, limit) : null;
}

function sizeOf(name: string, value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  try {
    return Buffer.byteLength(JSON.stringify(value) ?? '');
  } catch (error) {
    throw new WorkcellError('invalid_argument', `Cannot record "${name}": ${messageOf(error)}`, { cause: error });
  }
}

/** The longest beginning that has at most `limit` bytes and ends with a whole character. */
function cutText(text: string, limit: number): string {
  const bytes = Buffer.from(text);
  let end = limit;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}
