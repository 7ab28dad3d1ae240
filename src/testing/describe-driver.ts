import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EGRESS_PORT } from '../protocol/egress.ts';
import { StreamMux } from '../protocol/stream-mux.ts';
import type { Guest, GuestSpec, MountOptions, SandboxDriver } from '../sandbox/driver.ts';
import { Deadline, poll } from '../util/deadline.ts';
import { GuestAgent } from './guest-agent.ts';
import { descendantsNamed, type HostTraces, hostTraces } from './host-traces.ts';

/** What differs between drivers that are all right. */
export interface DriverExpectations {
  readonly bootTimeoutMs: number;
  /** Memory of the guests that the suite boots. */
  readonly memoryMib: number;
  /** The name of the process whose violent death ends a guest. */
  readonly monitor: string;
  /** How many processes, threads included, a guest may have; undefined where nothing but its memory bounds them. */
  readonly processes?: number;
  /** How many files each process of a guest may have open; undefined where nothing bounds them. */
  readonly descriptors?: number;
}

const MIB = 1024 * 1024;
const SCRATCH_MIB = 16;
const FLOOD_BYTES = 16 * MIB;
const WRITABLE: MountOptions = { readonly: false, noexec: false, nosuid: true, nodev: true };
const READ_ONLY: MountOptions = { ...WRITABLE, readonly: true };

/**
 * What every driver promises, as tests for vitest: call it at the top of a test file. `makeDriver` gets a folder of its own;
 * the host must be one on which the driver can run. Boots fewer than ten guests, of which two live at the same time.
 */
export function describeDriver(
  name: string,
  makeDriver: (folder: string) => Promise<SandboxDriver>,
  expectations: DriverExpectations,
): void {
  describe(`the driver ${name}`, () => {
    let folder: string;
    let driver: SandboxDriver;
    let guest: Guest;
    let agent: GuestAgent;
    let before: HostTraces;
    let booted = 0;

    const deadline = (signal?: AbortSignal) => new Deadline('The suite', expectations.bootTimeoutMs, { signal });
    const spec = (changes: Partial<GuestSpec> = {}): GuestSpec => ({
      id: `contract-${process.pid}-${++booted}`,
      hostname: `box-${booted}`,
      image: { kind: 'host' },
      cpus: 1,
      memoryMib: expectations.memoryMib,
      mounts: [
        { kind: 'directory', path: join(folder, 'writable'), target: '/workspace', options: WRITABLE },
        { kind: 'directory', path: join(folder, 'readonly'), target: '/workspace/readonly', options: READ_ONLY },
        { kind: 'tmpfs', target: '/scratch', sizeMib: SCRATCH_MIB, options: WRITABLE },
      ],
      env: ['GREETING=a=b c'],
      workdir: '/workspace',
      ...changes,
    });
    const boot = async (changes: Partial<GuestSpec> = {}): Promise<{ guest: Guest; agent: GuestAgent }> => {
      using limit = deadline();
      const started = await driver.boot(spec(changes), limit);
      return { guest: started, agent: new GuestAgent(await started.connectAgent(limit)) };
    };
    const eventually = async (condition: () => Promise<boolean>) => {
      using limit = new Deadline('Waiting for the condition', 150_000);
      await poll(limit, async () => ((await condition()) ? true : undefined));
    };

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'workcell-contract-'));
      for (const each of ['writable', 'writable/readonly', 'readonly']) await mkdir(join(folder, each));
      await writeFile(join(folder, 'readonly', 'file'), 'of the host');
      before = await hostTraces();
      driver = await makeDriver(folder);
      using limit = new Deadline('Preparing the driver', 180_000);
      await driver.prepare(limit, () => {});
      ({ guest, agent } = await boot());
    }, 240_000);

    afterAll(async () => {
      await driver?.[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    });

    it('says that it can run here, and how well it isolates', async () => {
      expect(await driver.probe()).toMatchObject({ ready: true, isolation: driver.isolation, problems: [] });
    });

    it('gives a guest that begins with core.ready, once', async () => {
      expect(await agent.first).toMatchObject({ id: 0, type: 'core.ready' });
    });

    it('keeps the streams of a command apart, up to the end of each, and has its exit code', async () => {
      expect(await agent.shell('cat; echo on stderr >&2; exit 3', 'from stdin')).toMatchObject({
        stdout: 'from stdin',
        stderr: 'on stderr\n',
        type: 'core.exec.exited',
        code: 3,
      });
    });

    it('says that a command cannot be started', async () => {
      const { end } = agent.start({ cmd: '/no/such/command' });
      expect(await end).toMatchObject({ type: 'core.exec.failed' });
    });

    it('sends a signal', async () => {
      const running = agent.start({ cmd: 'sleep', args: ['1000'] }, ({ type, id }) => {
        if (type === 'core.exec.started') agent.send(id, 'core.exec.signal', { signal: 15 });
      });
      const { type, code } = await running.end;
      expect({ type, zero: code === 0 }).toEqual({ type: 'core.exec.exited', zero: false });
    });

    it('holds a command up when nobody reads, and loses nothing', async () => {
      const flood = agent.start({ cmd: 'head', args: ['-c', String(FLOOD_BYTES), '/dev/zero'] }, ({ type }) => {
        if (type !== 'core.exec.started') return;
        agent.stream.pause();
        setTimeout(() => agent.stream.resume(), 300);
      });
      const { stdout, code } = await flood.end;
      expect({ bytes: stdout.length, code }).toEqual({ bytes: FLOOD_BYTES, code: 0 });
    });

    it('runs many commands at once', async () => {
      const numbers = Array.from({ length: 20 }, (_, index) => String(index));
      const ends = await Promise.all(numbers.map((number) => agent.shell(`echo ${number}`)));
      expect(ends.map(({ stdout }) => stdout.trim())).toEqual(numbers);
    });

    it('gives commands the environment, the working folder and root', async () => {
      const { stdout } = await agent.shell('echo "$GREETING"; pwd; id -u; uname -n');
      expect(stdout.split('\n')).toEqual(['a=b c', '/workspace', '0', 'box-1', '']);
    });

    it('reaches nothing without a network', async () => {
      const { stdout } = await agent.shell('grep -c : /proc/net/dev; grep -c lo: /proc/net/dev');
      expect(stdout).toBe('1\n1\n');
    });

    it('shares a writable folder with the host, in both directions', async () => {
      await writeFile(join(folder, 'writable', 'from-host'), 'hällo');
      expect(await agent.shell('cat from-host; printf wörld > from-guest')).toMatchObject({ stdout: 'hällo', code: 0 });
      expect(await readFile(join(folder, 'writable', 'from-guest'), 'utf8')).toBe('wörld');
    });

    it.each([
      ['write', 'echo changed > readonly/file'],
      ['append', 'echo changed >> readonly/file'],
      ['create', 'touch readonly/new'],
      ['remove', 'rm -f readonly/file'],
      ['rename', 'mv readonly/file readonly/other'],
      ['change the mode', 'chmod 777 readonly/file'],
      ['link out', 'ln readonly/file linked && echo changed > linked'],
      ['link in', 'touch mine && ln mine readonly/mine'],
      ['write over a link', 'ln -sf /workspace/readonly/file soft && echo changed > soft'],
      ['write after a remount', 'mount -o remount,bind,rw /workspace/readonly; echo changed > readonly/file'],
      ['write after an unmount', 'umount -l /workspace/readonly; cat readonly/file && echo changed > readonly/file'],
    ])('does not let root of the guest %s in a read-only folder', async (_what, line) => {
      // In a mount namespace of its own where it may have one, so that a later test finds the folder where it was.
      const { code } = await agent.shell(
        `if unshare --mount true 2>/dev/null; then unshare --mount sh -c '${line}'; else sh -c '${line}'; fi`,
      );
      expect(code).not.toBe(0);
      expect(await readFile(join(folder, 'readonly', 'file'), 'utf8')).toBe('of the host');
    });

    it('makes no device nodes, and honours none', async () => {
      const { code } = await agent.shell('mknod /workspace/disk b 8 0 || mknod /workspace/null c 1 3');
      expect(code).not.toBe(0);
    });

    it('shows the flags of each mount', async () => {
      const { stdout } = await agent.shell('cat /proc/mounts');
      const flags = new Map(
        stdout.split('\n').map((line) => {
          const [, target = '', , options = ''] = line.split(' ');
          return [target, options.split(',')];
        }),
      );
      expect(flags.get('/workspace')).toEqual(expect.arrayContaining(['rw', 'nosuid', 'nodev']));
      expect(flags.get('/workspace/readonly')).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev']));
      expect(flags.get('/scratch')).toEqual(expect.arrayContaining(['rw', 'nosuid', 'nodev']));
    });

    it.each([
      [SCRATCH_MIB - 1, true],
      [SCRATCH_MIB, true],
      [SCRATCH_MIB + 1, false],
    ])('holds a file system in memory to its size: %i MiB fit: %s', async (size, fits) => {
      const { code } = await agent.shell(
        `dd if=/dev/zero of=/scratch/file bs=1M count=${size}; r=$?; rm /scratch/file; exit $r`,
      );
      expect(code === 0).toBe(fits);
    });

    it.each([
      [0.25, true],
      [2, false],
    ])('holds a guest to its memory: a process with %f of it lives: %s', async (share, lives) => {
      const hungry = await boot();
      try {
        const bytes = Math.floor(expectations.memoryMib * MIB * share);
        // The random bytes are in no other page, so that every page counts.
        const code = `const b = Buffer.alloc(${bytes}); for (let i = 0; i < ${bytes}; i += 4096) b[i] = 1; setTimeout(() => {}, 1000)`;
        const { end } = hungry.agent.start({ cmd: '/opt/workcell/bin/node', args: ['-e', code] });
        // Where nothing can end one process for it, the guest ends.
        const outcome = await end.then(({ code: exit }) => exit === 0).catch(() => false);
        expect(outcome).toBe(lives);
      } finally {
        await hungry.guest.stop(0);
      }
    });

    it.skipIf(expectations.processes === undefined)('holds a guest to its number of processes', async () => {
      const limit = expectations.processes ?? 0;
      const count = async (processes: number) => {
        const line = `i=0; while [ $i -lt ${processes} ]; do sleep 1000 >/dev/null 2>&1 & i=$((i+1)); done; exit 0`;
        const { code } = await agent.shell(line);
        await agent.shell('exec pkill -9 -x sleep');
        return code;
      };
      const taken = Number((await agent.shell('cat /proc/[0-9]*/status | grep -c ^Threads')).stdout);
      expect(taken).toBeLessThan(limit);
      expect(await count(Math.floor(limit / 2))).toBe(0);
      expect(await count(limit)).not.toBe(0);
      expect(await agent.shell('echo still here')).toMatchObject({ stdout: 'still here\n' });
    });

    it.skipIf(expectations.descriptors === undefined)('holds each process to its open files', async () => {
      const count = `const fs = require('node:fs'); let open = 0;
try { for (;;) { open = fs.openSync('/dev/null'); } } catch (error) { fs.closeSync(open); console.log(error.code, open); }`;
      const { stdout, stderr } = await agent.start({ cmd: '/opt/workcell/bin/node', args: ['-e', count] }).end;
      // Descriptors count from 0, so the last one that there can be is one below the limit.
      expect({ stdout, stderr }).toEqual({ stdout: `EMFILE ${(expectations.descriptors ?? 0) - 1}\n`, stderr: '' });
    });

    it('measures what a guest uses', async () => {
      const first = await guest.metrics();
      expect(first.residentBytes).toBeGreaterThan(MIB);
      await agent.shell('i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done');
      expect((await guest.metrics()).cpuMs).toBeGreaterThan(first.cpuMs);
    });

    it('refuses images and mounts that it does not claim to have', async () => {
      using limit = deadline();
      const images = {
        disk: { kind: 'disk', path: '/dev/null', format: 'raw' },
        oci: { kind: 'oci', reference: 'x' },
      } as const;
      for (const image of [images.disk, images.oci]) {
        if (driver.capabilities.images.includes(image.kind)) continue;
        await expect(driver.boot(spec({ image }), limit)).rejects.toMatchObject({ code: 'unsupported' });
      }
      if (driver.capabilities.adopts) return;
      await expect(driver.boot(spec({ survives: true }), limit)).rejects.toMatchObject({ code: 'unsupported' });
    });

    it('lets a guest ask the host for connections, where that is how it has a network', async (context) => {
      if (driver.capabilities.network !== 'proxy') return context.skip();
      const { guest: asking, agent: its } = await boot({ network: { policies: [] } });
      try {
        using limit = deadline();
        const egress = await asking.connectEgress?.(limit);
        if (egress === undefined) throw new Error('The guest has no stream for connections');
        const connection = Promise.withResolvers<string>();
        const mux = new StreamMux(egress, (stream) => {
          stream.once('data', (chunk) => {
            connection.resolve(String(chunk));
            stream.end('answer');
          });
          return true;
        });
        const ask = `require('node:net').connect(${EGRESS_PORT}, '127.0.0.1').on('data', (d) => console.log(String(d))).write('question')`;
        const { end } = its.start({ cmd: '/opt/workcell/bin/node', args: ['-e', ask] });
        expect(await connection.promise).toBe('question');
        expect(await end).toMatchObject({ stdout: 'answer\n', code: 0 });
        await eventually(async () => mux.size === 0);
      } finally {
        await asking.stop(0);
      }
    });

    it('adopts nothing that it does not know', async () => {
      using limit = deadline();
      expect(await driver.adopt({ driver: driver.name, data: { pid: 1 } }, limit)).toBeUndefined();
    });

    // Each moment is one that a caller may choose; the last ones may find a quick driver with its work done.
    it.each([-1, 0, 10, 30, 100])('leaves nothing of a boot that is given up after %i ms', async (delay) => {
      const { processes } = await hostTraces();
      const controller = new AbortController();
      using limit = deadline(controller.signal);
      if (delay < 0) controller.abort();
      let boots = true;
      const booting = driver.boot(spec(), limit).finally(() => {
        boots = false;
      });
      booting.catch(() => {});
      if (delay >= 0) await new Promise((resolve) => setTimeout(resolve, delay));
      if (boots) {
        controller.abort();
        await expect(booting).rejects.toMatchObject({ code: 'cancelled' });
      } else await (await booting).stop(0);
      await eventually(async () => (await hostTraces()).processes.every((pid) => processes.includes(pid)));
    });

    it('keeps a guest whose caller gives up after the boot, and keeps it apart from others', async () => {
      const controller = new AbortController();
      using limit = deadline(controller.signal);
      const other = await driver.boot(spec(), limit);
      controller.abort();
      const its = new GuestAgent(await other.connectAgent(deadline()));
      await agent.shell('touch /tmp/mine; sleep 1000 >/dev/null 2>&1 &');
      expect(await its.shell('ls /tmp/mine; pgrep -x sleep')).toMatchObject({ stdout: '' });

      const [first, second] = await Promise.all([other.stop(0), other.stop(0)]);
      expect(second).toEqual(first);
      expect(await other.exited).toMatchObject({ unexpected: false });
      expect(await agent.shell('echo alive')).toMatchObject({ stdout: 'alive\n' });
    });

    it('tells when a guest has ended by itself', async () => {
      const [monitor, ...more] = await descendantsNamed(expectations.monitor);
      // Helpers of a monitor may bear its name; the first one is the oldest.
      expect(more.length).toBeLessThanOrEqual(1);
      const closed = new Promise((resolve) => agent.stream.once('close', resolve));
      process.kill(monitor ?? 0, 'SIGKILL');
      expect(await guest.exited).toMatchObject({ unexpected: true, reason: expect.stringMatching(/\w/) });
      await closed;
      await expect(guest.stop(0)).resolves.toBeDefined();
    });

    it('leaves nothing behind when it is closed, with a guest that runs and one that boots', async () => {
      await boot();
      using limit = deadline();
      const booting = driver.boot(spec(), limit);
      booting.catch(() => {});
      await Promise.all([driver[Symbol.asyncDispose](), driver[Symbol.asyncDispose]()]);
      await eventually(async () => (await hostTraces()).processes.length <= before.processes.length);
      // Others mount on this host, too, and unmount what they have mounted; what a driver has left stays.
      let left = (await hostTraces()).mounts.filter((mount) => !before.mounts.includes(mount));
      await eventually(async () => {
        const { mounts } = await hostTraces();
        left = left.filter((mount) => mounts.includes(mount));
        return left.length === 0;
      });
    });
  });
}
