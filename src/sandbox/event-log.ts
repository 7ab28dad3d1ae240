import { createHash, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import type { Principal } from '../core/principal.ts';
import type { EventActor, EventResponse, Page } from '../protocol/rest.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { Ledger } from './ledger.ts';

const actorSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('api_key'), api_key_id: z.string(), name: z.string() }),
  z.object({ kind: z.literal('system'), code: z.string(), label: z.string() }),
]);

const eventSchema = z.object({
  seq: z.int().positive(),
  id: z.uuid(),
  org_id: z.string(),
  category: z.string(),
  event_type: z.string(),
  actor: actorSchema,
  payload: z.record(z.string(), z.unknown()),
  timestamp: z.iso.datetime(),
});

type StoredEvent = z.infer<typeof eventSchema>;

export interface NewEvent {
  readonly orgId: string;
  readonly category: string;
  /** Such as `sandbox_created`. */
  readonly type: string;
  /** Who did it; undefined when it happened by itself. */
  readonly by: Principal | undefined;
  readonly payload: Readonly<Record<string, unknown>>;
}

export interface EventQuery {
  readonly event_type?: string | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly cursor?: string | undefined;
  readonly limit: number;
}

const MAX_EVENTS = 10_000;

/** Who did what to the sandboxes of an organisation; the newest few thousand events. `<state>/events.jsonl`. */
export class EventLog {
  readonly #ledger: Ledger<StoredEvent>;

  private constructor(ledger: Ledger<StoredEvent>) {
    this.#ledger = ledger;
  }

  static async open(state: string | undefined): Promise<EventLog> {
    const path = state === undefined ? undefined : join(state, 'events.jsonl');
    return new EventLog(await Ledger.open({ path, schema: eventSchema, maxEntries: MAX_EVENTS }));
  }

  append({ orgId, category, type, by, payload }: NewEvent): void {
    this.#ledger.append({
      seq: (this.#ledger.entries.at(-1)?.seq ?? 0) + 1,
      id: randomUUID(),
      org_id: orgId,
      category,
      event_type: type,
      actor: actorOf(by),
      payload: { ...payload },
      timestamp: new Date().toISOString(),
    });
  }

  /** Newest first. Throws `invalid_argument` for a cursor that is none. */
  list(orgId: string, { event_type, since, until, cursor, limit }: EventQuery): Page<EventResponse> {
    const before = cursor === undefined ? Number.POSITIVE_INFINITY : decodeCursor(cursor);
    const [from, to] = [since, until].map((time) => (time === undefined ? undefined : Date.parse(time)));
    const found = this.#ledger.entries.filter((event) => {
      const at = Date.parse(event.timestamp);
      return (
        event.org_id === orgId &&
        event.seq < before &&
        (event_type === undefined || event.event_type === event_type) &&
        (from === undefined || at >= from) &&
        (to === undefined || at <= to)
      );
    });
    const page = found.slice(-limit).reverse();
    const more = found.length > limit;
    const last = page.at(-1);
    return { data: page.map(toResponse), has_more: more, next_cursor: more && last ? encodeCursor(last.seq) : null };
  }

  find(orgId: string, id: string): EventResponse | undefined {
    const event = this.#ledger.entries.find((each) => each.id === id && each.org_id === orgId);
    return event === undefined ? undefined : toResponse(event);
  }

  flushed(): Promise<void> {
    return this.#ledger.flushed();
  }
}

function actorOf(principal: Principal | undefined): EventActor {
  if (principal === undefined) return { kind: 'system', code: 'lifecycle', label: 'The server' };
  const { keyId } = principal;
  if (keyId === undefined) return { kind: 'system', code: 'server_key', label: 'A key of the server itself' };
  return { kind: 'api_key', api_key_id: uuidOf(keyId), name: keyId };
}

/** The contract wants a UUID here, always the same for one key (RFC 9562, version 8: made as we like). */
function uuidOf(keyId: string): string {
  const hex = createHash('sha256').update(keyId).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function toResponse({ seq: _, ...event }: StoredEvent): EventResponse {
  return event;
}
