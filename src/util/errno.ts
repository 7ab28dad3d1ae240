/** The `code` of a failed system call, such as `ENOENT`; empty for anything else. */
export function errnoOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

/** Waits for `work`; false when it failed with one of `errnos`, and true otherwise. Other failures are thrown. */
export async function succeeds(work: Promise<unknown>, errnos: readonly string[]): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (errnos.includes(errnoOf(error))) return false;
    throw error;
  }
}
