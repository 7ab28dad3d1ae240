import { isWorkcellError, messageOf } from '../core/errors.ts';
import type { SessionId } from '../core/ids.ts';
import type { SessionStore } from './session-store.ts';

export interface PruneOptions {
  /** Sessions that were last written to before this are deleted. */
  readonly before: Date;
  /** Tells what would be deleted, and deletes nothing. Default false. */
  readonly dryRun?: boolean | undefined;
  /** Those that stay, however old they are, and why. Default: none. */
  readonly needed?: ReadonlyMap<SessionId, string> | undefined;
}

export interface PrunedSession {
  readonly sessionId: SessionId;
  readonly bytes: number;
  /** ISO 8601. */
  readonly writtenAt: string;
}

export interface PruneReport {
  /** Those that were deleted, or would be. */
  readonly deleted: readonly PrunedSession[];
  /** Those that are old enough and stay, and why. */
  readonly kept: readonly (PrunedSession & { readonly reason: string })[];
}

/** Deletes the sessions of a customer that nobody has written to for long. One that somebody has open, or needs, stays. */
export async function pruneSessions(
  store: SessionStore,
  { before, dryRun = false, needed }: PruneOptions,
): Promise<PruneReport> {
  const deleted: PrunedSession[] = [];
  const kept: PruneReport['kept'][number][] = [];
  for (const sessionId of await store.list()) {
    const stats = await store.stat(sessionId).catch(undefinedIfGone);
    if (stats === undefined || stats.writtenAt >= before) continue;
    const session = { sessionId, bytes: stats.bytes, writtenAt: stats.writtenAt.toISOString() };
    try {
      const reason = needed?.get(sessionId) ?? ((await store.isOpen(sessionId)) ? 'it is in use' : undefined);
      if (reason !== undefined) kept.push({ ...session, reason });
      else {
        if (!dryRun) await store.remove(sessionId, { writtenBefore: before });
        deleted.push(session);
      }
    } catch (error) {
      // Somebody else was quicker.
      if (!isWorkcellError(error) || error.code !== 'not_found') kept.push({ ...session, reason: messageOf(error) });
    }
  }
  return { deleted, kept };
}

function undefinedIfGone(error: unknown): undefined {
  if (!isWorkcellError(error) || error.code !== 'not_found') throw error;
}
