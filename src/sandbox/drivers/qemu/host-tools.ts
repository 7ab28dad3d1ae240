import { execFile } from 'node:child_process';
import { access, constants, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Debian's QEMU 7 brings a C virtiofsd; later ones a separate Rust one with other options. */
export type VirtiofsdFlavour = 'c' | 'rust';

const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const VIRTIOFSD = ['/usr/libexec/virtiofsd', '/usr/lib/virtiofsd', '/usr/lib/qemu/virtiofsd'];

const run = promisify(execFile);

/** Full path of a command, or undefined. Looks where administrators' tools lie, too. */
export async function findCommand(name: string): Promise<string | undefined> {
  for (const folder of FOLDERS) {
    const path = join(folder, name);
    if (await isExecutable(path)) return path;
  }
  return undefined;
}

export async function findVirtiofsd(): Promise<{ path: string; flavour: VirtiofsdFlavour } | undefined> {
  for (const path of VIRTIOFSD) {
    if (await isExecutable(path)) return { path, flavour: path.includes('/qemu/') ? 'c' : 'rust' };
  }
  const path = await findCommand('virtiofsd');
  return path === undefined ? undefined : { path, flavour: 'rust' };
}

/** First line of what a command says about its version. */
export async function versionOf(path: string): Promise<string> {
  try {
    const { stdout } = await run(path, ['--version'], { timeout: 5_000 });
    return stdout.split('\n')[0]?.trim() ?? '';
  } catch {
    return 'unknown';
  }
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

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
