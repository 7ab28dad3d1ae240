import type { MountOptions } from '../../driver.ts';
import type { HostPart } from '../../driver-kit/host-image.ts';
import { optionNames, quote, READ_ONLY } from '../../driver-kit/mount-options.ts';

// Lines of a shell script that assembles a file system below the folder that it runs in.

/** Shows the folder `source` of the host at `target`. */
export function bind(source: string, target: string, options: MountOptions): string[] {
  const path = quote(target);
  return [`mkdir -p ${path}`, `mount --bind ${quote(source)} ${path}`, remount(target, options)];
}

function remount(target: string, options: MountOptions): string {
  // What is not said stays as it is where the folder comes from.
  const access = options.readonly ? [] : ['rw'];
  return `mount -o ${['remount', 'bind', ...access, ...optionNames(options)].join(',')} ${quote(target)}`;
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

/** Shows the host's programs, read-only, and of `/etc` what is named. */
export function bindPrograms(programs: readonly HostPart[], etc: readonly string[]): string[] {
  return [
    ...programs.flatMap(({ path, link }) =>
      link === undefined ? bind(path, path.slice(1), READ_ONLY) : [`ln -s ${quote(link)} ${path.slice(1)}`],
    ),
    ...etc.flatMap((name) => [
      // A link, as /etc/resolv.conf often is, shows what it leads to.
      `if [ -d /etc/${name} ]; then mkdir etc/${name}; elif [ -e /etc/${name} ]; then touch etc/${name}; fi`,
      `if [ -e /etc/${name} ]; then mount --bind /etc/${name} etc/${name}; ${remount(`etc/${name}`, READ_ONLY)}; fi`,
    ]),
  ];
}
