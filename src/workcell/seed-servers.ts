import { cp, mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What comes with the package: the modules that the wrappers of both languages import, and the tools that run inside the guest. */
const SHIPPED = fileURLToPath(new URL('../../servers/', import.meta.url));
const PARTS = ['runtime.ts', 'runtime.py', 'calculator'];

/** Makes a project's own `servers/` folder usable; leaves alone what is there. */
export async function seedServers(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  if ((await realpath(folder)) === (await realpath(SHIPPED))) return;
  for (const part of PARTS) await cp(join(SHIPPED, part), join(folder, part), { recursive: true, force: false });
}
