import { type Logger, pino } from 'pino';
import type { LogLevel } from '../config/config.ts';

/** Keys of the server and of sessions with it, wherever in a line they stand. */
const SECRETS = /\bmsb_[0-9a-f]{16,}\b|\b(?:Bearer|Basic) +[A-Za-z0-9._~+/=-]{8,}/g;

/**
 * Writes lines of JSON to stderr. Secrets of the configuration print as `[redacted]` by themselves; what looks like a key or an
 * authorisation is blotted out of every line, whoever wrote it there.
 */
export function createLogger(level: LogLevel): Logger {
  return pino({ level, hooks: { streamWrite: redacted } }, pino.destination(2));
}

/** A line without what gives access. */
export function redacted(line: string): string {
  return line.replace(SECRETS, '[redacted]');
}
