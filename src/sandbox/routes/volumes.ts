import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { WorkcellError } from '../../core/errors.ts';
import { createVolumeSchema } from '../../protocol/rest.ts';
import type { VolumeStore } from '../volumes.ts';
import { parse } from './parse.ts';

/** `/v1/volumes`. */
export function volumeRoutes(app: FastifyInstance, volumes: VolumeStore): void {
  app.get('/v1/volumes', async () => volumes.list());

  app.post('/v1/volumes', async (request) => {
    const { name, labels, capacity_gib: capacity } = parse(createVolumeSchema, request.body, 'body');
    if (capacity)
      throw new WorkcellError(
        'unsupported',
        'This server cannot limit the capacity of a volume; leave "capacity_gib" out',
      );
    return volumes.create(name, labels);
  });

  app.delete('/v1/volumes/:id', async (request) => {
    await volumes.remove(parse(z.object({ id: z.string() }), request.params, 'path').id);
    return { message: 'volume deleted' };
  });
}
