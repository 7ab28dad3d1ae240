import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { WorkcellError } from '../core/errors.ts';
import { RecentEvents } from './recent-events.ts';

export interface HttpSessionLimits {
  readonly sessions: number;
  /** Of one owner: the one that was not used for the longest time gives way. */
  readonly sessionsOfOwner: number;
  /** Without a request. */
  readonly idleMs: number;
}

export const HTTP_SESSION_LIMITS: HttpSessionLimits = { sessions: 1_000, sessionsOfOwner: 32, idleMs: 30 * 60_000 };
const SWEEP_MS = 60_000;

interface HttpSession {
  readonly owner: string;
  readonly transport: StreamableHTTPServerTransport;
  readonly events: RecentEvents;
  /** Requests that are not answered yet, an open stream of events among them. */
  open: number;
  usedAt: number;
}

/**
 * The sessions of the protocol: who was told which id, and what can be sent to whom. Nothing that a client has hangs on one; who
 * has lost it initializes another.
 */
export class HttpSessions {
  readonly #limits: HttpSessionLimits;
  readonly #sessions = new Map<string, HttpSession>();
  readonly #sweeping: NodeJS.Timeout;

  constructor(limits: Partial<HttpSessionLimits> = {}) {
    this.#limits = { ...HTTP_SESSION_LIMITS, ...limits };
    this.#sweeping = setInterval(() => this.#sweep(), Math.min(SWEEP_MS, this.#limits.idleMs)).unref();
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** A transport for a request that initializes; the session is there when the request is found to be well formed. */
  async open(owner: string, server: Server): Promise<StreamableHTTPServerTransport> {
    this.#makeRoom(owner);
    const events = new RecentEvents();
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: events,
      onsessioninitialized: (id) => {
        this.#sessions.set(id, { owner, transport, events, open: 0, usedAt: performance.now() });
      },
    });
    transport.onclose = () => {
      if (transport.sessionId !== undefined) this.#sessions.delete(transport.sessionId);
    };
    await server.connect(transport);
    return transport;
  }

  /**
   * For a request of its owner; it is in use until the response is closed. Throws `not_found`, also for one of somebody else, and
   * `history_gone` when the client wants what came after an event that is forgotten.
   */
  use(id: string, owner: string, response: ServerResponse, lastEvent?: string): StreamableHTTPServerTransport {
    const session = this.#sessions.get(id);
    if (session === undefined || session.owner !== owner)
      throw new WorkcellError('not_found', 'There is no such MCP session any more; initialize another');
    if (lastEvent !== undefined && !session.events.knows(lastEvent))
      throw new WorkcellError(
        'history_gone',
        `What came after the event ${JSON.stringify(lastEvent.slice(0, 100))} is not known any more; look the execution up with get_execution`,
      );
    session.open += 1;
    response.once('close', () => {
      session.open -= 1;
      session.usedAt = performance.now();
    });
    return session.transport;
  }

  /** Ends all of them, and what they have asked for. */
  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    await Promise.all([...this.#sessions.values()].map(({ transport }) => transport.close()));
  }

  #sweep(): void {
    const since = performance.now() - this.#limits.idleMs;
    for (const { transport, open, usedAt } of this.#sessions.values())
      if (open === 0 && usedAt < since) void transport.close();
  }

  #makeRoom(owner: string): void {
    const { sessions, sessionsOfOwner } = this.#limits;
    const own = [...this.#sessions.values()].filter((session) => session.owner === owner);
    if (own.length < sessionsOfOwner && this.#sessions.size < sessions) return;
    const [idlest] = own.filter(({ open }) => open === 0).sort((a, b) => a.usedAt - b.usedAt);
    if (idlest === undefined)
      throw new WorkcellError(
        'busy',
        'There are too many MCP sessions; end one of them with DELETE, or try again later',
      );
    void idlest.transport.close();
  }
}
