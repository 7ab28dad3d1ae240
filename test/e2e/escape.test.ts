// What root in a guest can try against the host; each test starts from the guest's side and looks at the host's.
import { lstat, mkdir, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { hostname, release, version } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatedFiles } from '../../src/util/gated-files.ts';
import { openCell } from '../support/cell.ts';
import { guestFolders, type HostileGuest, openHostileGuest, runFolders } from '../support/hostile-guest.ts';
import { descendantsNamed, eventually } from '../support/processes.ts';
import { openServer, type TestServer } from '../support/sandbox-server.ts';

const QEMU = 'qemu-system-x86_64';
const SECRET = 'of the host alone';
const TOOL = 'read only';

let server: TestServer;
let guest: HostileGuest;
/** Of the guest that most tests share. */
let machine: number;
let fileServers: readonly number[];
let files: GatedFiles;

const hostPath = (...names: string[]) => join(server.folder, 'allowed', ...names);
const bind = (name: string, target: string, readonly = false) => ({
  type: 'bind',
  host: hostPath(name),
  guest: target,
  options: { readonly },
});
const mounts = () => [bind('ann', '/workspace'), bind('tools', '/workspace/tools', true)];

beforeAll(async () => {
  server = await openServer();
  for (const name of ['ann', 'bob', 'tools']) await mkdir(hostPath(name), { recursive: true });
  await writeFile(hostPath('bob', 'secret'), SECRET);
  await writeFile(hostPath('tools', 'tool.ts'), TOOL);
  guest = await openHostileGuest(server, 'prison', { mounts: mounts() });
  [machine = 0] = await descendantsNamed(QEMU);
  fileServers = await descendantsNamed('virtiofsd');
  files = new GatedFiles(hostPath('ann'));
});

afterAll(async () => {
  await guest?.[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

describe('a read-only mount', () => {
  it.each([
    ['a remount', 'mount -o remount,rw /workspace/tools', '/workspace/tools'],
    ['a remount of the bind', 'mount -o remount,bind,rw /workspace/tools', '/workspace/tools'],
    [
      'a bind of it elsewhere',
      'mkdir /tmp/bind && mount --bind /workspace/tools /tmp/bind && mount -o remount,bind,rw /tmp/bind',
      '/tmp/bind',
    ],
    ['the share mounted again', 'mkdir /tmp/share && mount -t virtiofs -o rw workcell /tmp/share', '/tmp/share'],
    ['a look at the whole share', 'mount -o remount,rw /.workcell/view', '/.workcell/view/mounts/1'],
    ['the way through another process', 'mount -o remount,rw /workspace/tools', '/proc/1/root/workspace/tools'],
    [
      'a mount namespace of its own',
      'unshare --mount --propagation private sh -c "mount -o remount,bind,rw /workspace/tools && sleep 1000" > /dev/null 2>&1 &',
      '/proc/%d/root/workspace/tools',
    ],
  ])('stays so after %s', async (_what, command, folder) => {
    const answers = await guest.python(`
os.system(${JSON.stringify(command)})
folder = ${JSON.stringify(folder)}
def sleeper():
    commands = of_processes(lambda process: read(process + '/comm'))
    return next((pid for pid, command in commands if command == 'sleep\\n'), None)
if '%d' in folder:
    while sleeper() is None:
        time.sleep(0.05)
    folder = folder % sleeper()
# The kernel may show the whole share there, or the part of it that it mounted last.
if os.path.exists(folder + '/mounts/1'):
    folder += '/mounts/1'
os.chdir(folder)
print(json.dumps({
  'write': attempt(lambda: open('tool.ts', 'w')), 'append': attempt(lambda: open('tool.ts', 'a')),
  'create': attempt(lambda: open('new', 'w')), 'folder': attempt(lambda: os.mkdir('new')),
  'remove': attempt(lambda: os.unlink('tool.ts')), 'rename': attempt(lambda: os.rename('tool.ts', 'moved')),
  'link': attempt(lambda: os.link('tool.ts', 'hard')), 'symlink': attempt(lambda: os.symlink('/', 'soft')),
  'truncate': attempt(lambda: os.truncate('tool.ts', 0)), 'mode': attempt(lambda: os.chmod('tool.ts', 0o777)),
  'owner': attempt(lambda: os.chown('tool.ts', 1, 1)), 'times': attempt(lambda: os.utime('tool.ts', (0, 0))),
}))`);
    expect(new Set(Object.values(answers as object))).toEqual(new Set(['EROFS']));
    await toolsAreUntouched();
  });

  it('takes no attribute, flag or lock-out', async () => {
    const refused = await guest.python(`
tool = '/workspace/tools/tool.ts'
acl = b'\\x02\\0\\0\\0' + b'\\x01\\0\\x07\\0\\xff\\xff\\xff\\xff' + b'\\x04\\0\\x07\\0\\xff\\xff\\xff\\xff' + b'\\x20\\0\\x07\\0\\xff\\xff\\xff\\xff'
print(json.dumps({
  'user': attempt(lambda: os.setxattr(tool, 'user.x', b'1')),
  'trusted': attempt(lambda: os.setxattr(tool, 'trusted.x', b'1')),
  'capability': attempt(lambda: os.setxattr(tool, 'security.capability', b'\\x01\\0\\0\\2' + b'\\xff' * 16)),
  'acl': attempt(lambda: os.setxattr(tool, 'system.posix_acl_access', acl)),
}))`);
    expect(Object.values(refused as object)).not.toContain('done');
    expect((await guest.shell('chattr +i /workspace/tools/tool.ts')).code).not.toBe(0);
    await toolsAreUntouched();
  });

  it('gives nothing away to a part that is writable, and takes nothing from it', async () => {
    const answers = await guest.python(`
open('/workspace/mine', 'w').close()
def exchange():
    AT_FDCWD, RENAME_EXCHANGE = -100, 2
    system(316, AT_FDCWD, b'/workspace/mine', AT_FDCWD, b'/workspace/tools/tool.ts', RENAME_EXCHANGE)
pairs = [('/workspace/tools/tool.ts', '/workspace/stolen'), ('/workspace/mine', '/workspace/tools/planted'),
         ('/.workcell/view/mounts/1/tool.ts', '/.workcell/view/mounts/0/stolen'), ('/.workcell/view/mounts/0/mine', '/.workcell/view/mounts/1/planted'),
         ('/.workcell/view/root/usr/bin/env', '/.workcell/view/mounts/0/env')]
print(json.dumps([attempt(lambda: act(a, b)) for a, b in pairs for act in (os.link, os.rename)] + [attempt(exchange)]))`);
    expect(answers).toHaveLength(11);
    for (const answer of answers as string[]) expect(['EXDEV', 'EROFS', 'EPERM']).toContain(answer);
    await toolsAreUntouched();
    expect(await readdir(hostPath('ann'))).toContain('mine');
  });

  it('is also the image of the guest, whose changes stay in the guest', async () => {
    const { text } = await guest.shell(`
      echo planted > /usr/bin/planted && cat /usr/bin/planted
      mount -o remount,rw /.workcell/view
      for name in root/usr/bin/planted planted root/planted mounts/planted
      do echo x > /.workcell/view/$name && echo "done: $name"; done`);
    expect(text).toMatch(/^planted$/m);
    expect(text).not.toContain('done:');
    await expect(lstat('/usr/bin/planted')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  async function toolsAreUntouched(): Promise<void> {
    expect(await readdir(hostPath('tools'))).toEqual(['tool.ts']);
    expect(await readFile(hostPath('tools', 'tool.ts'), 'utf8')).toBe(TOOL);
    expect(await stat(hostPath('tools', 'tool.ts'))).toMatchObject({
      mode: 0o100644,
      uid: process.getuid?.(),
      nlink: 1,
    });
  }
});

describe('the workspace', () => {
  it('takes no device node, by whatever way one is made', async () => {
    const answers = await guest.python(`
import io, tarfile
def extract():
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode='w') as archive:
        for name, kind in (('tar-c', tarfile.CHRTYPE), ('tar-b', tarfile.BLKTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.devmajor, entry.devminor = kind, 254, 0
            archive.addfile(entry)
    open('/tmp/devices.tar', 'wb').write(data.getvalue())
    return os.system('tar -xf /tmp/devices.tar -C /workspace 2>/dev/null')
copied = os.system('cd /dev && ls vda null | cpio -p --quiet /workspace 2>/dev/null')
space = os.system('cd /workspace && unshare --user --map-root-user sh -c "mknod space-b b 8 0 || mknod space-c c 1 1" 2>/dev/null')
os.mknod('/tmp/node', stat.S_IFBLK | 0o666, os.makedev(254, 0))
print(json.dumps({
  'block': attempt(lambda: os.mknod('/workspace/b', stat.S_IFBLK | 0o666, os.makedev(8, 0))),
  'character': attempt(lambda: os.mknod('/workspace/c', stat.S_IFCHR | 0o666, os.makedev(1, 1))),
  'moved': attempt(lambda: os.rename('/tmp/node', '/workspace/node')),
  'extracted': extract() != 0, 'copied': copied != 0, 'space': space != 0,
}))`);
    const refused = { extracted: true, copied: true, space: true };
    expect(answers).toEqual({ block: 'EPERM', character: 'EPERM', moved: 'EXDEV', ...refused });
    for (const name of await readdir(hostPath('ann'))) {
      const entry = await lstat(hostPath('ann', name));
      expect([name, entry.isBlockDevice() || entry.isCharacterDevice()]).toEqual([name, false]);
    }
  });

  it('gives a file no capability and no attribute that the host trusts', async () => {
    expect(
      await guest.python(`
open('/workspace/plain', 'w').close()
print(json.dumps([attempt(lambda: os.setxattr('/workspace/plain', name, value)) for name, value in
  (('security.capability', b'\\x01\\0\\0\\2' + b'\\xff' * 16), ('trusted.overlay.opaque', b'y'), ('security.selinux', b'x'))]))`),
    ).not.toContain('done');
    expect((await guest.shell('chattr +i /workspace/plain')).code).not.toBe(0);
  });

  it('holds set-user-id files that the host’s side of the share does not honour', async () => {
    await guest.shell('cp /bin/sh /workspace/shell && chmod 6755 /workspace/shell');
    expect((await stat(hostPath('ann', 'shell'))).mode & 0o6000).toBe(0o6000);
    for (const pid of fileServers) {
      for (const line of await mountsOf(pid)) expect(line).toMatch(/nosuid,nodev/);
    }
  });

  it('holds pipes, sockets and empty devices on which no reader of the host hangs', async () => {
    await guest.python(`
import socket
os.mkdir('/workspace/odd')
os.mkfifo('/workspace/odd/pipe')
server = socket.socket(socket.AF_UNIX)
server.bind('/workspace/odd/socket')
# What overlays use for a removed file; anybody may make it, and nobody can open it.
whiteout = attempt(lambda: os.mknod('/workspace/odd/whiteout', stat.S_IFCHR, 0))
os.symlink('/dev/zero', '/workspace/odd/zero')
os.symlink('/proc/self/root', '/workspace/odd/root')
os.symlink('/etc/shadow', '/workspace/odd/shadow')
os.symlink('odd', '/workspace/loop')
os.symlink(${JSON.stringify(hostPath('bob'))}, '/workspace/odd/bob')
print('[]')`);
    const { entries } = await files.list('odd');
    for (const { name, kind } of entries) {
      const isLink = ['zero', 'root', 'shadow', 'bob'].includes(name);
      expect([name, kind]).toEqual([name, isLink ? 'symlink' : 'other']);
      await expect(files.readFile(`odd/${name}`, { maxBytes: 1_000 })).rejects.toMatchObject({ code: 'invalid_state' });
      expect(await files.stat(`odd/${name}`)).toMatchObject({ kind });
    }
    for (const path of ['odd/root/etc/hostname', 'odd/bob/secret', 'loop/pipe'])
      await expect(files.readFile(path, { maxBytes: 1_000 })).rejects.toMatchObject({ code: 'invalid_state' });
    await expect(files.writeFile('odd/bob/planted', 'x')).rejects.toMatchObject({ code: 'invalid_state' });
    await files.remove('odd');
    expect(await readdir(hostPath('bob'))).toEqual(['secret']);
  });

  it('does not lead the host astray while a guest swaps a folder and a link as fast as it can', async () => {
    guest.startPython(`
os.chdir('/workspace')
os.mkdir('swap')
open('swap/secret', 'w').write('of the guest')
os.symlink(${JSON.stringify(hostPath('bob'))}, 'link')
AT_FDCWD, RENAME_EXCHANGE = -100, 2
while not os.path.exists('stop'):
    for _ in range(100):
        system(316, AT_FDCWD, b'swap', AT_FDCWD, b'link', RENAME_EXCHANGE)
open('stopped', 'w').close()`);
    await eventually(() => files.stat('link').catch(() => false));
    const seen = new Map<string, number>();
    const note = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1);
    const end = performance.now() + 3_000;
    while (performance.now() < end) {
      const content = await files.readFile('swap/secret', { maxBytes: 100 }).then(String, (error) => error.code);
      note(content);
      await files.writeFile('swap/written', 'x').catch(() => {});
      for (const { name } of (await files.list('swap').catch(() => ({ entries: [] }))).entries) note(name);
    }
    await files.writeFile('stop', '');
    await eventually(() => files.stat('stopped').catch(() => false));
    expect(seen.get('of the guest')).toBeGreaterThan(0);
    expect(seen.get('invalid_state')).toBeGreaterThan(0);
    expect([...seen.keys()]).not.toContain(SECRET);
    expect(await readdir(hostPath('bob'))).toEqual(['secret']);
  });

  it('is listed and removed by the host whatever names and depths a guest thinks of', async () => {
    await guest.python(`
os.mkdir('/workspace/names')
os.chdir('/workspace/names')
for name in (b'new\\nline', b'\\xff\\xfe', b'x' * 255, b'-rf', b'  ', b'\\x1b[2J', '\\u202eexe'.encode(), b'*'):
    open(name, 'w').close()
os.mkdir('deep')
os.chdir('deep')
for _ in range(420):
    os.mkdir('d' * 10)
    os.chdir('d' * 10)
open('leaf', 'w').close()
os.chdir('/workspace/names')
os.chmod('deep', 0)
print('[]')`);
    const { entries, truncated } = await files.list('names');
    expect({ count: entries.length, truncated }).toEqual({ count: 9, truncated: false });
    expect(entries.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['new\nline', '\u{fffd}\u{fffd}', 'x'.repeat(255)]),
    );
    await files.remove('names');
    await expect(files.stat('names')).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('what the guest shows', () => {
  it('is the guest: no process, mount, device or name of the host', async () => {
    const shown = (await guest.python(`
commands = [command for _, command in of_processes(lambda process: read(process + '/cmdline'))]
dmi = '/sys/class/dmi/id/'
print(json.dumps({
  'hostname': os.uname().nodename, 'boot': read('/proc/sys/kernel/random/boot_id'), 'commands': commands,
  'cmdline': read('/proc/cmdline'), 'mounts': read('/proc/1/mountinfo') + read('/proc/self/mounts'),
  'blocks': os.listdir('/sys/block'), 'nets': os.listdir('/sys/class/net'),
  'vendor': read(dmi + 'sys_vendor').strip(),
  'dmi': {name: read(dmi + name) for name in os.listdir(dmi) if os.path.isfile(dmi + name)},
  'environ': read('/proc/1/environ'), 'memory': os.sysconf('SC_PHYS_PAGES') * 4096 >> 20,
}))`)) as Record<string, string> & { commands: string[]; dmi: Record<string, string> };
    expect(shown).toMatchObject({ hostname: 'prison', blocks: ['vda'], nets: ['lo'], vendor: 'QEMU' });
    expect(shown['memory']).toBeLessThan(513);
    expect(shown['boot']).not.toBe(await readFile('/proc/sys/kernel/random/boot_id', 'utf8'));
    expect(shown.commands.join('\n')).not.toMatch(/qemu|virtiofsd|vitest|setpriv/);
    const everything = JSON.stringify(shown);
    for (const mark of [
      server.folder,
      '/dev/shm/workcell',
      hostname(),
      process.cwd(),
      process.env['HOME'] ?? '/root/.cache',
    ])
      if (mark.length > 5) expect(everything).not.toContain(mark);
    for (const name of ['product_uuid', 'product_serial', 'board_serial', 'chassis_serial']) {
      const own = (await readFile(`/sys/class/dmi/id/${name}`, 'utf8').catch(() => '')).trim();
      if (own !== '' && !/^(none|not specified|0*)$/i.test(own)) expect(shown.dmi[name]?.trim()).not.toBe(own);
    }
  });

  it('runs a kernel of its own, into which its root may load what it likes', async () => {
    const answers = (await guest.python(`
INIT_MODULE, KEXEC_LOAD = 175, 246
print(json.dumps({'release': os.uname().release, 'version': os.uname().version,
  'module': attempt(lambda: system(INIT_MODULE, b'no module', 9, b'')),
  'kexec': attempt(lambda: system(KEXEC_LOAD, 0, 0, None, 0))}))`)) as Record<string, string>;
    expect([answers['release'], answers['version']]).not.toEqual([release(), version()]);
    expect(answers['module']).not.toBe('done');
    expect((await guest.shell('echo alive')).text).toBe('alive\n');
  });
});

describe('the processes of the host that serve a guest', () => {
  it('may make few system calls, and gain no privilege', async () => {
    for (const pid of [machine, ...fileServers]) {
      const status = await readFile(`/proc/${pid}/status`, 'utf8');
      expect(status).toMatch(/^Seccomp:\t2$/m);
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    }
  });

  it('include a file server that reaches this customer’s folders and no other', async () => {
    const confined = [];
    for (const pid of fileServers) if ((await readlink(`/proc/${pid}/root`)) !== '/') confined.push(pid);
    expect(confined.length).toBeGreaterThan(0);
    for (const pid of confined) {
      expect(await readlink(`/proc/${pid}/ns/mnt`)).not.toBe(await readlink('/proc/self/ns/mnt'));
      expect((await readdir(`/proc/${pid}/root`)).sort()).toEqual(['mounts', 'root']);
      const shown = (await mountsOf(pid))
        .map((line) => line.split(' ').slice(3, 5))
        .filter(([, at]) => at?.startsWith('/mounts/'));
      expect(shown.map(([from]) => from)).toEqual(
        [hostPath('ann'), hostPath('tools')].map((path) => expect.stringContaining(path)),
      );
      for (const path of ['bob', 'etc/passwd', 'proc', 'tmp', server.folder])
        await expect(lstat(join(`/proc/${pid}/root`, path))).rejects.toMatchObject({ code: 'ENOENT' });
    }
  });

  it('leave no mount in the host’s namespace', async () => {
    expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toMatch(/workcell-\d+-\d+\.|\bview\b/);
  });

  it('keep their sockets and the guest’s memory where nobody else comes in', async () => {
    const [folder] = await runFolders();
    expect((await stat(folder as string)).mode & 0o777).toBe(0o700);
    for (const name of await readdir(folder as string))
      expect((await stat(join(folder as string, name))).mode & 0o777).toBe(0o700);
  });

  it('can be commanded by nobody once the guest runs', async () => {
    for (const folder of await guestFolders()) {
      const socket = connect(join(folder, 'qmp.sock'));
      const [event] = await Promise.race([
        new Promise<[string]>((resolve) => socket.once('error', () => resolve(['refused']))),
        new Promise<[string]>((resolve) => socket.once('data', () => resolve(['greeted']))),
      ]);
      socket.destroy();
      expect(event).toBe('refused');
    }
  });

  it('keep no more than a little of what a guest says on its console', async () => {
    await guest.shell('timeout 4 cat /dev/zero > /dev/ttyS0');
    for (const folder of await guestFolders()) {
      const { size } = await stat(join(folder, 'console.log')).catch(() => ({ size: 0 }));
      expect(size).toBeLessThan(256 * 1024);
    }
  });
});

describe('a session', () => {
  it('names what a program calls its state, and follows none of it', async () => {
    await using cell = await openCell();
    const ann = cell.workcell.customer('ann');
    const stateAfter = async (code: string) => {
      const { status, error } = await ann.execute({ session: 's', code });
      expect({ status, error }).toEqual({ status: 'completed', error: null });
      return (await ann.session('s')).state_files;
    };
    expect(await stateAfter("require('node:fs').symlinkSync('/etc', 'state')")).toEqual([]);
    expect(
      await stateAfter(`
        const fs = require('node:fs');
        fs.unlinkSync('state');
        fs.mkdirSync('state');
        fs.symlinkSync('/etc', 'state/link');
        require('node:child_process').execFileSync('mkfifo', ['state/pipe']);`),
    ).toEqual(['state/link', 'state/pipe']);
    // A set-user-id file that a guest makes can be reached by nobody else on the host.
    expect((await stat(join(cell.folder, 'workspaces/ann'))).mode & 0o777).toBe(0o700);
  });
});

async function mountsOf(pid: number): Promise<readonly string[]> {
  return (await readFile(`/proc/${pid}/mountinfo`, 'utf8')).trim().split('\n');
}
