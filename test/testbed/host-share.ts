import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { hostImage } from '../../src/sandbox/driver-kit/host-image.ts';
import { quote, READ_ONLY } from '../../src/sandbox/driver-kit/mount-options.ts';
import { bind, bindPrograms } from '../../src/sandbox/drivers/microsandbox/mount-script.ts';
import { findVirtiofsd } from '../../src/sandbox/drivers/qemu/host-tools.ts';
import { Child } from '../../src/util/child.ts';
import { type Deadline, poll } from '../../src/util/deadline.ts';

/** This machine's programs and some of its folders, read-only, as one virtiofs share. */
export interface HostShare extends AsyncDisposable {
  readonly socket: string;
}

/** Serves them with their own paths; `folder` is for what the server needs. */
export async function serveHost(folder: string, paths: readonly string[], deadline: Deadline): Promise<HostShare> {
  const virtiofsd = await findVirtiofsd();
  if (virtiofsd === undefined) throw new Error('virtiofsd is needed; run workcell setup');
  const [view, socket, log] = [join(folder, 'view'), join(folder, 'share.sock'), join(folder, 'virtiofsd.log')];
  const flags =
    virtiofsd.flavour === 'rust'
      ? `--shared-dir=${quote(view)} --sandbox=chroot --announce-submounts --cache=always`
      : `-o source=${quote(view)} -o sandbox=chroot -o announce_submounts -o cache=always`;
  const script = [
    `mkdir ${quote(view)}`,
    `mount -t tmpfs -o mode=0755 view ${quote(view)}`,
    `cd ${quote(view)}`,
    'mkdir etc',
    ...bindPrograms(await hostImage(), []),
    ...paths.flatMap((path) => bind(path, path.slice(1), READ_ONLY)),
    'mount -o remount,ro .',
    // Debian's virtiofsd keeps a pid file there, which an ordinary user may not write.
    'mount -t tmpfs -o mode=0755 run /run',
    `exec ${quote(virtiofsd.path)} --socket-path=${quote(socket)} ${flags}`,
  ];
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user', '--map-auto'];
  const command = ['unshare', ...user, '--mount', 'sh', '-euc', script.join('\n')] as const;
  const daemon = await Child.start([...command], { log, survives: false });
  const share = { socket, [Symbol.asyncDispose]: () => daemon.kill() };
  try {
    await poll(deadline, async () => {
      if (daemon.gone) throw new Error(`virtiofsd ended at once: ${await daemon.tail()}`);
      return (await lstat(socket).catch(() => undefined))?.isSocket() === true ? true : undefined;
    });
    return share;
  } catch (error) {
    await daemon.kill();
    throw error;
  }
}
