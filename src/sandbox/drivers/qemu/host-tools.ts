import { access, constants, readFile } from 'node:fs/promises';
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

/**
 * Whether guests can have hardware virtualisation: the CPU must offer it and `/dev/kvm` must be usable. The device alone
 * proves nothing: it exists on machines whose CPU cannot run a guest.
 */
export async function hasKvm(): Promise<boolean> {
  const cpu = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  if (!/^flags\s*:.*\b(vmx|svm)\b/m.test(cpu)) return false;
  return access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}
