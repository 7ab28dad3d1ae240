import { inspect } from 'node:util';
import type { GuestError } from '../../protocol/runner-frames.ts';

const MAX_STACK = 16 * 1024;
const MAX_FIELDS = 16 * 1024;

/** Whatever a program threw, as plain data: also strings, frozen objects and errors that lie about themselves. */
export function flattenError(thrown: unknown): GuestError {
  try {
    if (!(thrown instanceof Error)) return { name: 'Thrown', message: clip(inspect(thrown), 4096), stack: '' };
    const fields = ownFields(thrown);
    return {
      name: String(thrown.name),
      message: clip(String(thrown.message), MAX_STACK),
      stack: clip(withCauses(thrown), MAX_STACK),
      ...(fields === undefined ? {} : { fields }),
    };
  } catch {
    return { name: 'Error', message: 'The program threw something that cannot be read', stack: '' };
  }
}

function withCauses(error: Error): string {
  let text = String(error.stack ?? '');
  let cause: unknown = error.cause;
  for (let depth = 0; depth < 4 && cause !== undefined; depth++) {
    text += `\n[cause] ${cause instanceof Error ? (cause.stack ?? cause.message) : inspect(cause)}`;
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return text;
}

function ownFields(error: Error): Record<string, unknown> | undefined {
  const entries = Object.entries(error).filter(([key]) => !['name', 'message', 'stack', 'cause'].includes(key));
  if (entries.length === 0) return undefined;
  try {
    const json = JSON.stringify(Object.fromEntries(entries));
    return json.length > MAX_FIELDS ? undefined : (JSON.parse(json) as Record<string, unknown>);
  } catch {
    return undefined;
  }
}

function clip(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit)}…`;
}
