import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { isWorkcellError, type WorkcellError } from '../../core/errors.ts';
import { createVolumeSchema, updateVolumeSchema } from '../../protocol/rest.ts';
import { toErrorResponse } from '../api-error.ts';
import type { VolumeStore } from '../volumes.ts';
import { parse } from './parse.ts';

const byId = z.object({ id: z.string() });

/** `/v1/volumes`: the volumes of the organisation that asks. */
export async function volumeRoutes(app: FastifyInstance, volumes: VolumeStore): Promise<void> {
  answerErrors(app, ({ code }) => (code === 'invalid_state' ? 'invalid_request' : undefined));

  app.get('/v1/volumes', (request) => volumes.list(request.principal.org.id));

  app.get('/v1/volumes/default', (request) => volumes.getDefault(request.principal.org.id));

  app.get('/v1/volumes/:id', (request) =>
    volumes.get(request.principal.org.id, parse(byId, request.params, 'path').id),
  );

  app.post('/v1/volumes', (request) =>
    volumes.create(request.principal.org.id, parse(createVolumeSchema, request.body, 'body')),
  );

  app.patch('/v1/volumes/:id', (request) => {
    const { id } = parse(byId, request.params, 'path');
    return volumes.update(request.principal.org.id, id, parse(updateVolumeSchema, request.body, 'body'));
  });

  app.delete('/v1/volumes/:id', async (request) => {
    await volumes.remove(request.principal.org.id, parse(byId, request.params, 'path').id);
    return { message: 'volume scheduled for deletion' };
  });
}

/** Errors of the routes of `app` alone, under another code where `codeOf` gives one. */
export function answerErrors(app: FastifyInstance, codeOf: (error: WorkcellError) => string | undefined): void {
  app.setErrorHandler((error, _request, reply) => {
    const { status, body } = toErrorResponse(error);
    const code = (isWorkcellError(error) ? codeOf(error) : undefined) ?? body.error.code;
    void reply.status(status).send({ error: { ...body.error, code } });
  });
}
