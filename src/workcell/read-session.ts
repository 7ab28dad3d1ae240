import type { SessionId } from '../core/ids.ts';
import type { StoredEvent } from '../sessions/events.ts';
import type { Landmark } from '../sessions/landmark.ts';
import type { SessionStore } from '../sessions/session-store.ts';

/** The events of a session after one, as they are on disk at the moment; undefined when there is no such session. */
export async function readSession(
  sessions: SessionStore,
  id: SessionId,
  after: number,
): Promise<AsyncIterable<StoredEvent> | undefined> {
  const history = await sessions.find(id);
  const reader = await sessions.findReader(id);
  if (history === undefined || reader === undefined) return undefined;
  let known: Landmark | undefined;
  for (const landmark of reader.landmarks()) {
    if (landmark.seq > after) break;
    known = landmark;
  }
  return eventsAfter(history.lines(known === undefined ? {} : { after: known }), after);
}

async function* eventsAfter(
  lines: AsyncIterable<{ readonly seq: number; readonly event?: StoredEvent | undefined }>,
  after: number,
): AsyncGenerator<StoredEvent> {
  for await (const { seq, event } of lines) if (event !== undefined && seq > after) yield event;
}
