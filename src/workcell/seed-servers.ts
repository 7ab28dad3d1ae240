import { cp, mkdir, readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeFileIfChanged } from '../util/atomic-file.ts';

/** What comes with the package: the modules that the wrappers of both languages import, and the tools that run inside the guest. */
const SHIPPED = fileURLToPath(new URL('../../servers/', import.meta.url));
/** Wrappers of this version need that of this version. */
const RUNTIME = ['runtime.ts', 'runtime.py'];
const TOOLS = 'calculator';

/** Makes a project's own `servers/` folder usable: with the runtime as it is shipped, and the tools unless they are there. */
export async function seedServers(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  if ((await realpath(folder)) === (await realpath(SHIPPED))) return;
  for (const file of RUNTIME) await writeFileIfChanged(join(folder, file), await readFile(join(SHIPPED, file), 'utf8'));
  await cp(join(SHIPPED, TOOLS), join(folder, TOOLS), { recursive: true, force: false });
}
