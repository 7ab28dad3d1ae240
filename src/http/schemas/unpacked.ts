import { z } from 'zod';

/** What was in an archive. */
export const unpackedSchema = z
  .object({
    files: z.int(),
    folders: z.int(),
    links: z.int(),
    bytes: z.int(),
    skipped: z
      .array(z.object({ path: z.string(), reason: z.string() }))
      .readonly()
      .describe('Links that were left out because they lead outside'),
  })
  .meta({ id: 'UnpackedArchive' });
