import { lstat, readlink } from 'node:fs/promises';
import type { MountOptions } from '../../driver.ts';

// Lines of a shell script that assembles a file system below the folder that it runs in.

export const READ_ONLY: MountOptions = { readonly: true, nosuid: true, nodev: true, noexec: false };
export const WRITABLE: MountOptions = { ...READ_ONLY, readonly: false };

const NAMES = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];

/** Shows the folder `source` of the host at `target`. */
export function bind(source: string, target: string, options: MountOptions): string[] {
  const path = quote(target);
  return [`mkdir -p ${path}`, `mount --bind ${quote(source)} ${path}`, remount(target, options)];
}

function remount(target: string, options: MountOptions): string {
  return `mount -o ${['remount', 'bind', ...flagsOf(options)].join(',')} ${quote(target)}`;
}

/** Shows the folder `source` of the host at `target`; what is written there goes to the folder `layer`. */
export function overlay(source: string, target: string, layer: string): string[] {
  const layers = `lowerdir=lower/${target},upperdir=${layer}/upper,workdir=${layer}/work`;
  return [
    ...bind(source, `lower/${target}`, READ_ONLY),
    `mkdir -p ${layer}/upper ${layer}/work ${target}`,
    `mount -t overlay -o nosuid,nodev,${layers} overlay ${target}`,
  ];
}

/** A top-level folder of the host that holds programs. */
export interface ProgramFolder {
  readonly path: string;
  /** Where it leads, when it is a link, as where /usr is merged. */
  readonly link: string | undefined;
}

export async function programFolders(): Promise<ProgramFolder[]> {
  const found = await Promise.all(
    NAMES.map(async (name) => {
      const path = `/${name}`;
      const stat = await lstat(path).catch(() => undefined);
      if (stat?.isSymbolicLink() === true) return [{ path, link: await readlink(path) }];
      return stat?.isDirectory() === true ? [{ path, link: undefined }] : [];
    }),
  );
  return found.flat();
}

/** What a guest of the image `host` sees of the host: where its programs lie, and the links by which they are reached. */
export async function sharedFolders(programs: readonly ProgramFolder[]): Promise<string[]> {
  const folders = programs.flatMap(({ path, link }) => (link === undefined ? [path] : []));
  const alternatives = await lstat('/etc/alternatives').catch(() => undefined);
  return alternatives?.isDirectory() === true ? [...folders, '/etc/alternatives'] : folders;
}

/** Shows the host's programs, read-only, and of `/etc` what is named. */
export function bindPrograms(folders: readonly ProgramFolder[], etc: readonly string[]): string[] {
  return [
    ...folders.flatMap(({ path, link }) =>
      link === undefined ? bind(path, path.slice(1), READ_ONLY) : [`ln -s ${quote(link)} ${path.slice(1)}`],
    ),
    ...etc.flatMap((name) => [
      // A link, as /etc/resolv.conf often is, shows what it leads to.
      `if [ -d /etc/${name} ]; then mkdir etc/${name}; elif [ -e /etc/${name} ]; then touch etc/${name}; fi`,
      `if [ -e /etc/${name} ]; then mount --bind /etc/${name} etc/${name}; ${remount(`etc/${name}`, READ_ONLY)}; fi`,
    ]),
  ];
}

function flagsOf(options: MountOptions): string[] {
  return [
    options.readonly ? 'ro' : 'rw',
    ...(options.nodev ? ['nodev'] : []),
    ...(options.nosuid ? ['nosuid'] : []),
    ...(options.noexec ? ['noexec'] : []),
  ];
}

export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
