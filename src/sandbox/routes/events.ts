import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { eventQuerySchema } from '../../protocol/rest.ts';
import type { EventLog } from '../event-log.ts';
import { parse } from './parse.ts';

/** `/v1/events`: what happened to the sandboxes of the organisation that asks. */
export function eventRoutes(app: FastifyInstance, events: EventLog): void {
  app.get('/v1/events', async ({ principal, query }) =>
    events.list(principal.org.id, parse(eventQuerySchema, query, 'query')),
  );

  app.get('/v1/events/:id', async ({ principal, params }, reply) => {
    const { id } = parse(z.object({ id: z.string() }), params, 'path');
    const event = events.find(principal.org.id, id);
    if (event !== undefined) return event;
    return reply
      .status(404)
      .send({ error: { code: 'event_not_found', message: 'There is no such event', details: null } });
  });
}
