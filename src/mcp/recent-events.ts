import type { EventId, EventStore, StreamId } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';

interface StoredEvent {
  readonly stream: StreamId;
  readonly message: JSONRPCMessage;
  readonly chars: number;
}

const MAX_CHARS = 256 * 1024;
const MAX_EVENTS = 1_000;

/**
 * What one session was sent lately, so that a client whose connection broke gets the rest of its answer. What is too old is
 * forgotten: an execution can be looked up for as long as its session is kept.
 */
export class RecentEvents implements EventStore {
  readonly #events = new Map<EventId, StoredEvent>();
  #chars = 0;
  #last = 0;

  async storeEvent(stream: StreamId, message: JSONRPCMessage): Promise<EventId> {
    this.#last += 1;
    const id = String(this.#last);
    const { length: chars } = JSON.stringify(message);
    this.#events.set(id, { stream, message, chars });
    this.#chars += chars;
    this.#forget();
    return id;
  }

  /** Whether what came after this event can still be sent. */
  knows(id: EventId): boolean {
    return this.#events.has(id);
  }

  /** Throws for an event that is forgotten, and for one that never was. */
  async replayEventsAfter(
    last: EventId,
    { send }: { send: (id: EventId, message: JSONRPCMessage) => Promise<void> },
  ): Promise<StreamId> {
    const known = this.#events.get(last);
    if (known === undefined) throw new Error('What came after this event is not known any more');
    // The first event of a stream is empty: it is there to be named.
    for (const [id, { stream, message }] of this.#events)
      if (Number(id) > Number(last) && stream === known.stream && 'jsonrpc' in message) await send(id, message);
    return known.stream;
  }

  #forget(): void {
    for (const [id, { chars }] of this.#events) {
      if (this.#chars <= MAX_CHARS && this.#events.size <= MAX_EVENTS) return;
      this.#events.delete(id);
      this.#chars -= chars;
    }
  }
}
