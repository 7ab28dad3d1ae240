import { findCommand, isExecutable } from '../../../util/find-command.ts';

/** Debian's QEMU 7 brings a C virtiofsd; later ones a separate Rust one with other options. */
export type VirtiofsdFlavour = 'c' | 'rust';

const VIRTIOFSD = ['/usr/libexec/virtiofsd', '/usr/lib/virtiofsd', '/usr/lib/qemu/virtiofsd'];

export async function findVirtiofsd(): Promise<{ path: string; flavour: VirtiofsdFlavour } | undefined> {
  for (const path of VIRTIOFSD) {
    if (await isExecutable(path)) return { path, flavour: path.includes('/qemu/') ? 'c' : 'rust' };
  }
  const path = await findCommand('virtiofsd');
  return path === undefined ? undefined : { path, flavour: 'rust' };
}
