import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { WorkcellError } from '../../core/errors.ts';
import { PYTHON_CHECK, PYTHON_RUNNER, RUNTIME_DIRECTORY } from '../../protocol/guest-bootstrap.ts';
import { launchProgram } from './launch.ts';

const run = promisify(execFile);
const BUNDLES = fileURLToPath(new URL('../../../dist/guest/', import.meta.url));

export interface RuntimeInputs {
  /** The node that guests run: the one that runs us. */
  readonly node: string;
  /** Linked statically, so that it runs whatever the image holds. */
  readonly busybox: string;
  /** Names of the bundled guest programs. */
  readonly programs: readonly string[];
}

/**
 * Puts the guest runtime into an empty folder: node with its loader and libraries, busybox, and the bundled guest programs.
 * It brings its own loader and libraries, so that it runs in a guest of any image. Guests see it as {@link RUNTIME_DIRECTORY}.
 */
export async function fillRuntime({ node, busybox, programs }: RuntimeInputs, folder: string): Promise<void> {
  for (const name of ['bin', 'lib', 'skills']) await mkdir(join(folder, name));
  await copyFile(node, join(folder, 'lib', 'node'));
  for (const [name, source] of await sharedLibraries(node)) await copyFile(source, join(folder, 'lib', name));
  await copyFile(busybox, join(folder, 'bin', 'busybox'));
  await chmod(join(folder, 'bin', 'busybox'), 0o755);
  await writeFile(join(folder, 'bin', 'launch'), launchProgram());
  await chmod(join(folder, 'bin', 'launch'), 0o755);
  for (const file of filesOf(programs)) await writeFile(join(folder, file), await readBundle(file));
  await writeRuntimeScript(folder, 'node', 'exec $node "$@"');
  await writeRuntimeScript(folder, 'runner', `exec $node ${RUNTIME_DIRECTORY}/runner.mjs`);
}

/** Changes when a runtime of these programs changes, or `text`, or one of `files`, as their size and time tell. */
export async function runtimeKey(text: string, files: readonly string[], programs: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update(`${process.version}\n${text}\n`);
  for (const file of [...files, process.execPath]) {
    const { size, mtimeMs } = await stat(file);
    hash.update(`${size} ${Math.floor(mtimeMs)}\n`);
  }
  hash.update(launchProgram());
  for (const file of filesOf(programs)) hash.update(await readBundle(file));
  return hash.digest('hex').slice(0, 16);
}

/** A command in the runtime; `$node` in its body starts the runtime's own node. */
export async function writeRuntimeScript(folder: string, name: string, body: string): Promise<void> {
  const node = `lib=${RUNTIME_DIRECTORY}/lib\nnode="$lib/ld.so --library-path $lib $lib/node"`;
  const path = join(folder, 'bin', name);
  await writeFile(path, `#!${RUNTIME_DIRECTORY}/bin/busybox sh\n${node}\n${body}\n`);
  await chmod(path, 0o755);
}

function filesOf(programs: readonly string[]): readonly string[] {
  return [...programs.map((name) => `${name}.mjs`), PYTHON_RUNNER, PYTHON_CHECK];
}

/** A bundled guest program. Throws `driver_unavailable` when it was not built. */
async function readBundle(file: string): Promise<Buffer> {
  try {
    return await readFile(join(BUNDLES, file));
  } catch (cause) {
    throw new WorkcellError('driver_unavailable', 'The guest programs are not built; run `npm run build`', { cause });
  }
}

/** Name in the runtime -> file on the host, for every library that node needs; its loader is called `ld.so`. */
async function sharedLibraries(node: string): Promise<Map<string, string>> {
  const { stdout } = await run('ldd', [node]);
  const libraries = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const [, path] = /(?:=>)?\s*(\/\S+)\s+\(0x/.exec(line) ?? [];
    if (path === undefined) continue;
    libraries.set(/\/ld-linux[^/]*$/.test(path) ? 'ld.so' : basename(path), path);
  }
  if (!libraries.has('ld.so')) {
    throw new WorkcellError('driver_unavailable', `The node at ${node} is not a glibc program; guests need one`);
  }
  return libraries;
}
