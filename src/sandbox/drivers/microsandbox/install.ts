import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { isExecutable } from '../../../util/find-command.ts';

/** The stock runtime, as its makers publish it on npm: the command `msb` and the kernel that its machines boot. */
export interface MicrosandboxInstall {
  /** Folder of the package for this platform; nothing else of the installation is needed. */
  readonly folder: string;
  readonly version: string;
  /** Below the folder. */
  readonly msb: string;
  readonly libkrunfw: string;
}

/** The npm package that brings the rest. It is optional, because most machines cannot use it. */
export const PACKAGE = 'microsandbox';

/** Undefined when the package, or its part for this platform, is not installed. */
export async function findInstall(): Promise<MicrosandboxInstall | undefined> {
  const folder = platformPackage();
  if (folder === undefined) return undefined;
  const libraries = await readdir(join(folder, 'lib')).catch(() => []);
  const libkrunfw = libraries.find((name) => name.startsWith('libkrunfw.so.'));
  if (libkrunfw === undefined || !(await isExecutable(join(folder, 'bin', 'msb')))) return undefined;
  const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { version: string };
  return { folder, version, msb: 'bin/msb', libkrunfw: join('lib', libkrunfw) };
}

function platformPackage(): string | undefined {
  try {
    const require = createRequire(createRequire(import.meta.url).resolve(PACKAGE));
    return dirname(require.resolve(`@superradcompany/microsandbox-linux-${process.arch}-gnu/package.json`));
  } catch {
    return undefined;
  }
}
