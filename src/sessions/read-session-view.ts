import type { StoredEvent } from './events.ts';
import type { Page, SessionReader } from './session-reader.ts';
import { type SessionView, type SessionViewOptions, viewSession } from './session-view.ts';

export interface ReadViewOptions
  extends Omit<SessionViewOptions, 'sessionId' | 'events' | 'taskCount' | 'olderBefore'> {
  readonly page: Page;
}

/** The view of a session with one page of its tasks; of the log, only what is in it is read. */
export async function readSessionView(reader: SessionReader, options: ReadViewOptions): Promise<SessionView> {
  const { page, ...rest } = options;
  const { executions, next } = reader.executions(page);
  const around = [
    await reader.first(),
    await reader.last('session.closed', 'session.resumed'),
    await reader.last('checkpoint.set'),
  ];
  const events: StoredEvent[] = around.filter((event) => event !== undefined);
  for await (const event of reader.histories(executions.toReversed())) events.push(event);
  return viewSession({ ...rest, sessionId: reader.id, events, taskCount: reader.executionCount, olderBefore: next });
}
