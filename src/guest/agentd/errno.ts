import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

const NUMBERS: Readonly<Record<string, number>> = constants.errno;

/** As the C library says it, which is what clients of the original see; only where the engine's own text differs. */
const TEXTS: Readonly<Record<string, string>> = {
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  EIO: 'Input/output error',
  ENXIO: 'No such device or address',
  E2BIG: 'Argument list too long',
  EBADF: 'Bad file descriptor',
  EAGAIN: 'Resource temporarily unavailable',
  ENOMEM: 'Cannot allocate memory',
  EACCES: 'Permission denied',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  EXDEV: 'Invalid cross-device link',
  ENOTDIR: 'Not a directory',
  EISDIR: 'Is a directory',
  EINVAL: 'Invalid argument',
  ENFILE: 'Too many open files in system',
  EMFILE: 'Too many open files',
  ETXTBSY: 'Text file busy',
  EFBIG: 'File too large',
  ENOSPC: 'No space left on device',
  EROFS: 'Read-only file system',
  EPIPE: 'Broken pipe',
  ENAMETOOLONG: 'File name too long',
  ENOTEMPTY: 'Directory not empty',
  ELOOP: 'Too many levels of symbolic links',
  ENOEXEC: 'Exec format error',
  ECONNREFUSED: 'Connection refused',
  ECONNRESET: 'Connection reset by peer',
  ETIMEDOUT: 'Connection timed out',
  EHOSTUNREACH: 'No route to host',
  ENETUNREACH: 'Network is unreachable',
};

/** The positive errno of a failed system call, or undefined. */
export function errnoOf(error: unknown): number | undefined {
  const name = errnoNameOf(error);
  return name === undefined ? undefined : NUMBERS[name];
}

/** `ENOENT` and the like. */
export function errnoNameOf(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return typeof code === 'string' && code in NUMBERS ? code : undefined;
}

/** A failed system call, as node would throw it. */
export function errnoError(errno: number): NodeJS.ErrnoException {
  const name = Object.keys(NUMBERS).find((key) => NUMBERS[key] === errno) ?? `E${errno}`;
  return Object.assign(new Error(textOf(name, errno)), { code: name, errno: -errno });
}

/** `No such file or directory (os error 2)`: as the original says it; the message of any other error as it is. */
export function messageOfError(error: unknown): string {
  const [name, errno] = [errnoNameOf(error), errnoOf(error)];
  if (name !== undefined && errno !== undefined) return `${textOf(name, errno)} (os error ${errno})`;
  return error instanceof Error ? error.message : String(error);
}

/** Nanoseconds since the kernel started. */
export function uptimeNs(): number {
  return Number(process.hrtime.bigint());
}

function textOf(name: string, errno: number): string {
  return TEXTS[name] ?? getSystemErrorMap().get(-errno)?.[1] ?? name;
}
