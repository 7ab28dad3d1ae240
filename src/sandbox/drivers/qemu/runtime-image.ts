import { execFile } from 'node:child_process';
import { chmod, copyFile, cp, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { WorkcellError } from '../../../core/errors.ts';
import { RUNTIME_DIRECTORY } from '../../../protocol/guest-bootstrap.ts';
import { launchProgram } from './launch.ts';
import { reseedProgram } from './reseed.ts';

const run = promisify(execFile);
const MIB = 1024 * 1024;

export interface RuntimeImageInputs {
  /** The node that guests run: the one that runs us. */
  readonly node: string;
  readonly busybox: string;
  /** Folder of the bundled guest programs. */
  readonly bundles: string;
}

/**
 * Writes the guest runtime as one read-only ext4 image: node with its loader and libraries, busybox, and the bundled guest
 * programs. It brings its own loader and libraries, so that it runs in a guest of any image.
 */
export async function writeRuntimeImage(inputs: RuntimeImageInputs, path: string, mke2fs: string): Promise<void> {
  const folder = await mkdtemp(`${path}-`);
  try {
    await fillRuntime(inputs, folder);
    const mib = Math.ceil(((await totalSize(folder)) / MIB) * 1.15) + 16;
    await run(mke2fs, ['-q', '-t', 'ext4', '-O', '^has_journal', '-m', '0', '-d', folder, path, `${mib}M`]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function fillRuntime(inputs: RuntimeImageInputs, folder: string): Promise<void> {
  for (const name of ['bin', 'lib', 'skills']) await mkdir(join(folder, name));
  await copyFile(inputs.node, join(folder, 'lib', 'node'));
  for (const [name, source] of await sharedLibraries(inputs.node)) await copyFile(source, join(folder, 'lib', name));
  await copyFile(inputs.busybox, join(folder, 'bin', 'busybox'));
  for (const name of ['agentd', 'runner', 'program']) {
    await cp(join(inputs.bundles, `${name}.mjs`), join(folder, `${name}.mjs`));
  }
  await writeFile(join(folder, 'bin', 'reseed'), reseedProgram());
  await writeFile(join(folder, 'bin', 'launch'), launchProgram());
  await writeFile(join(folder, 'bin', 'node'), script('exec $node "$@"'));
  await writeFile(join(folder, 'bin', 'runner'), script(`exec $node ${RUNTIME_DIRECTORY}/runner.mjs`));
  await writeFile(join(folder, 'bin', 'init'), script(`$node /.workcell/runtime/agentd.mjs 2>/dev/ttyS0\npoweroff -f`));
  for (const name of ['busybox', 'reseed', 'launch', 'node', 'runner', 'init'])
    await chmod(join(folder, 'bin', name), 0o755);
}

function script(body: string): string {
  const node = `lib=${RUNTIME_DIRECTORY}/lib\nnode="$lib/ld.so --library-path $lib $lib/node"`;
  return `#!${RUNTIME_DIRECTORY}/bin/busybox sh\n${node}\n${body}\n`;
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

async function totalSize(folder: string): Promise<number> {
  const { stdout } = await run('du', ['-sb', folder]);
  const bytes = Number.parseInt(stdout, 10);
  return Number.isFinite(bytes) ? bytes : (await stat(folder)).size;
}
