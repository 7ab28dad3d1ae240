import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { processIdSchema } from '../../../util/process-id.ts';

const guestDataSchema = z.strictObject({
  folder: z.string(),
  boot: z.enum(['pooled', 'restored', 'cold']),
  machine: processIdSchema,
  fileServer: processIdSchema,
  network: z.boolean(),
});

const guestFileSchema = z.object({
  /** The process that answers for the guest. */
  owner: processIdSchema,
});

/** Where a guest is found again: the data of its record. */
export type GuestData = z.infer<typeof guestDataSchema>;
/** Whose a guest is that outlives its owner; lies in its folder. A guest without one is nobody's when the process that has started it is gone. */
export type GuestFile = z.infer<typeof guestFileSchema>;

const NAME = 'guest.json';

/** Undefined when it is not what this driver writes. */
export function parseGuestData(data: unknown): GuestData | undefined {
  return guestDataSchema.safeParse(data).data;
}

/** Undefined when the folder has none that can be read. */
export async function readGuestFile(folder: string): Promise<GuestFile | undefined> {
  try {
    return guestFileSchema.parse(JSON.parse(await readFile(join(folder, NAME), 'utf8')));
  } catch {
    return undefined;
  }
}

export async function writeGuestFile(folder: string, file: GuestFile): Promise<void> {
  await writeFile(join(folder, NAME), JSON.stringify(file), { mode: 0o600 });
}
