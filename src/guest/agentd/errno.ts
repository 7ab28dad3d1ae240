import { constants } from 'node:os';

/** The positive errno of a failed system call, or undefined. */
export function errnoOf(error: unknown): number | undefined {
  const name = errnoNameOf(error);
  return name === undefined ? undefined : (constants.errno as Record<string, number>)[name];
}

/** `ENOENT` and the like. */
export function errnoNameOf(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return typeof code === 'string' && code in constants.errno ? code : undefined;
}

export function messageOfError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Nanoseconds since the kernel started. */
export function uptimeNs(): number {
  return Number(process.hrtime.bigint());
}
