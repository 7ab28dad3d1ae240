import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { RUNTIME_DIRECTORY } from '../../../protocol/guest-bootstrap.ts';
import { PROCESS_GUEST } from '../../../protocol/process-guest.ts';
import { isRunning, killProcess, type ProcessId } from '../../../util/process-id.ts';
import { descendantsOf } from '../../../util/process-tree.ts';
import type { Controller, GuestCgroup, GuestLimits } from './cgroup.ts';
import type { BubblewrapHost } from './probe.ts';
import { seccompFilter } from './seccomp.ts';

export interface LaunchOptions {
  readonly host: BubblewrapHost;
  /** For bubblewrap; handed over where nobody on the host or in the guest can read them. */
  readonly arguments: readonly string[];
  readonly cgroup: GuestCgroup;
  readonly limits: GuestLimits;
  /** Whether the guest may ask for connections. */
  readonly egress: boolean;
}

/** Joins the control group before anything of the guest exists; the words up to `--` are the files to write to. */
const JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; exec "$@"';
/**
 * Root of the host owns the device nodes, and could change their modes for the whole host: they are read-only, which still
 * lets everybody write to the device. Bubblewrap keeps the flag but cannot set it.
 */
const SEAL_DEVICES =
  'for name in null zero full random urandom tty; do mount --bind "/dev/$name" "/dev/$name" && mount -o remount,bind,ro "/dev/$name" || exit 125; done';
const LIBRARY = `${RUNTIME_DIRECTORY}/lib`;
const AGENT = `exec ${LIBRARY}/ld.so --library-path ${LIBRARY} ${LIBRARY}/node --no-warnings ${RUNTIME_DIRECTORY}/agentd-process.mjs`;
const ARGUMENTS_DESCRIPTOR = 5;
const FILTER_DESCRIPTOR = 6;
const HOST_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
const TAIL_BYTES = 2_000;
/** What one process may ask for beyond the guest's memory: node reserves 512 MiB for code alone, and uses little of it. */
const DATA_SLACK_BYTES = 1024 * 1024 * 1024;

/** The processes of one guest, as the host sees them: bubblewrap, and below it the guest's own. */
export class Launch {
  /** Why it ended; nothing of the guest runs any more then. */
  readonly exited: Promise<string>;
  /** The agent's stream. */
  readonly agent: Duplex;
  /** The stream on which the guest asks for connections. */
  readonly egress: Duplex | undefined;
  readonly #child: ChildProcess;
  #said = '';

  private constructor(child: ChildProcess, egress: boolean) {
    this.#child = child;
    this.agent = this.#stream(PROCESS_GUEST.agentDescriptor);
    this.egress = egress ? this.#stream(PROCESS_GUEST.egressDescriptor) : undefined;
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#said = (this.#said + chunk).slice(-TAIL_BYTES);
    });
    this.exited = this.#watch();
  }

  static async start({ host, arguments: args, cgroup, limits, egress }: LaunchOptions): Promise<Launch> {
    const cpus = cgroup.controllers.has('cpu') ? [] : await pickProcessors(limits.cpus);
    const command = [
      ...(cpus.length === 0 ? [] : [host.taskset, '--cpu-list', cpus.join(',')]),
      ...[host.bwrap, '--args', String(ARGUMENTS_DESCRIPTOR), '--seccomp', String(FILTER_DESCRIPTOR), '--'],
      ...[`${RUNTIME_DIRECTORY}/bin/busybox`, 'sh', '-c', startScript(cgroup.controllers, limits, egress)],
    ];
    const isRoot = process.getuid?.() === 0;
    const child = spawn(
      host.setpriv,
      [
        // It dies with us, whatever ends us.
        ...['--pdeathsig', 'KILL', ...(isRoot ? [host.unshare, '--mount'] : [])],
        ...[host.shell, '-c', isRoot ? `${SEAL_DEVICES}; ${JOIN}` : JOIN, 'sh', ...cgroup.joinFiles, '--', ...command],
      ],
      // Ctrl-C in a terminal is for us; what it means for a guest is decided here.
      {
        env: { PATH: HOST_PATH },
        cwd: '/',
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe', 'pipe', egress ? 'pipe' : 'ignore', 'pipe', 'pipe'],
      },
    );
    const launch = new Launch(child, egress);
    launch.#stream(ARGUMENTS_DESCRIPTOR).end(args.map((each) => `${each}\0`).join(''));
    const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
    launch.#stream(FILTER_DESCRIPTOR).end(seccompFilter({ architecture, pinned: cpus.length > 0 }));
    return launch;
  }

  /** Of bubblewrap; 0 when it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The end of what it said; may hold paths of the host. */
  get tail(): string {
    return this.#said.trim();
  }

  /** Ends everything of the guest and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.#running) {
      // Stopped, it starts no further process between the look and the end.
      this.#child.kill('SIGSTOP');
      const members = await membersOf(this.pid);
      if (this.#running) await Promise.all(members.map(killProcess));
      this.#child.kill('SIGKILL');
      await allGone(members);
    }
    await this.exited;
  }

  get #running(): boolean {
    return this.pid > 0 && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  #stream(descriptor: number): Duplex {
    const stream = this.#child.stdio[descriptor] as Duplex;
    stream.on('error', () => {});
    return stream;
  }

  async #watch(): Promise<string> {
    let members: readonly ProcessId[] = [];
    // Once the agent can be heard, the guest's first process exists, and all others end with it.
    this.agent.once('readable', () => {
      void membersOf(this.pid).then((found) => {
        members = found;
      });
    });
    const [code, signal] = await once(this.#child, 'exit').catch((error: Error) => [error.message, null]);
    await allGone(members);
    return `the first process of the guest ended (${signal ?? `code ${code}`})`;
  }
}

/**
 * Resource limits for what no control group bounds, set where a guest cannot raise them any more. Descriptors beyond those of
 * the guest were inherited from us, and are the host's.
 */
function startScript(
  controllers: ReadonlySet<Controller>,
  { memoryBytes, processes, descriptors }: GuestLimits,
  egress: boolean,
): string {
  const dataKib = Math.floor((memoryBytes + DATA_SLACK_BYTES) / 1024);
  const last = egress ? PROCESS_GUEST.egressDescriptor : PROCESS_GUEST.agentDescriptor;
  return [
    `set -e; ulimit -c 0; ulimit -n ${descriptors}`,
    `for fd in $(cd /proc/self/fd; echo *); do [ "$fd" -le ${last} ] || eval "exec $fd>&-"; done`,
    // Which letter it is depends on the version of busybox.
    ...(controllers.has('pids') ? [] : [`ulimit -u ${processes} 2>/dev/null || ulimit -p ${processes}`]),
    ...(controllers.has('memory') ? [] : [`ulimit -d ${dataKib}`]),
    AGENT,
  ].join('; ');
}

/** As many of the processors that we may use, beginning anywhere; none when there is nothing to limit. */
async function pickProcessors(count: number): Promise<readonly number[]> {
  const status = await readFile('/proc/self/status', 'utf8');
  const ranges = /^Cpus_allowed_list:\s+(\S+)$/m.exec(status)?.[1]?.split(',') ?? [];
  const all = ranges.flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
  const wanted = Math.max(1, Math.floor(count));
  if (wanted >= all.length) return [];
  const start = Math.floor(Math.random() * all.length);
  return Array.from({ length: wanted }, (_, index) => all[(start + index) % all.length] ?? 0);
}

async function membersOf(pid: number): Promise<readonly ProcessId[]> {
  return [...(await descendantsOf(pid))].map(([each, { startTicks }]) => ({ pid: each, startTicks }));
}

/** Killed processes take a moment; nobody but the kernel can hold them up. */
async function allGone(members: readonly ProcessId[]): Promise<void> {
  for (const member of members) {
    while (await isRunning(member)) await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
