import { PYTHON_CHECK, PYTHON_RUNNER } from './guest-bootstrap.ts';

/**
 * The bytes of a runner's standard input and output as files of a folder that host and guest share, where a server has no
 * stream: each message is a file of its own, numbered, and there as a whole or not at all.
 */
export const MAILBOX = {
  /** Folders below the mailbox's own, one for each direction. */
  toGuest: 'to-guest',
  toHost: 'to-host',
  /** What the guest runs, beside them; the hooks are for an older node. */
  runner: 'mailbox-runner.mjs',
  program: 'program.mjs',
  hooks: 'async-hooks.mjs',
  python: PYTHON_RUNNER,
  pythonCheck: PYTHON_CHECK,
} as const;

/** Bytes of one message: one line of the largest size, in UTF-8. */
export const MAX_MESSAGE_BYTES: number = 64 * 1024 * 1024;

/** The host sends an empty message this often, so that a guest notices when its host is gone. */
export const HEARTBEAT_MS = 10_000;
export const HOST_LOST_MS = 60_000;

/** The name of the message with this number; the first is 0. */
export function messageName(number: number): string {
  return String(number).padStart(10, '0');
}
