import { lstat, readlink } from 'node:fs/promises';
import type { MountOptions } from '../../driver.ts';

// Lines of a shell script that assembles a file system below the folder that it runs in.

export const READ_ONLY: MountOptions = { readonly: true, nosuid: true, nodev: true, noexec: false };
export const WRITABLE: MountOptions = { ...READ_ONLY, readonly: false };

/** Top-level folders that hold programs; they are links where /usr is merged. */
const PROGRAM_FOLDERS = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];

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

/** Shows the host's programs below `target`, read-only, and of `/etc` what is named. */
export async function bindPrograms(target: string, etc: readonly string[]): Promise<string[]> {
  const commands: string[] = [];
  for (const name of PROGRAM_FOLDERS) {
    const stat = await lstat(`/${name}`).catch(() => undefined);
    if (stat?.isSymbolicLink() === true) commands.push(`ln -s ${quote(await readlink(`/${name}`))} ${target}/${name}`);
    else if (stat?.isDirectory() === true) commands.push(...bind(`/${name}`, `${target}/${name}`, READ_ONLY));
  }
  commands.push(`mkdir -p ${target}/etc`);
  for (const name of etc) {
    const stat = await lstat(`/etc/${name}`).catch(() => undefined);
    if (stat === undefined) continue;
    const path = `${target}/etc/${name}`;
    // A link, as /etc/resolv.conf often is, shows what it leads to.
    commands.push(`if [ -d /etc/${name} ]; then mkdir ${path}; else touch ${path}; fi`);
    commands.push(`mount --bind /etc/${name} ${path}`, remount(path, READ_ONLY));
  }
  return commands;
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
