import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { encodeFrame, FLAG, FrameDecoder } from '../../src/protocol/agent-frames.ts';
import { type AgentMessage, decodeMessage, encodeAnyMessage } from '../../src/protocol/agent-messages.ts';
import { RUNNER_COMMAND } from '../../src/protocol/guest-bootstrap.ts';
import type { Guest, GuestSpec, VolumeMount } from '../../src/sandbox/driver.ts';
import { QemuDriver, type QemuDriverOptions } from '../../src/sandbox/drivers/qemu/driver.ts';
import { Deadline } from '../../src/util/deadline.ts';

export const MACHINE = { cpus: 1, memoryMib: 512 } as const;

export function openDriver(options: Partial<QemuDriverOptions> = {}): Promise<QemuDriver> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'workcell');
  return QemuDriver.create({ cache, defaults: MACHINE, ...options });
}

/** A guest of the default size, with `mounts`. */
export function guestSpec(mounts: readonly VolumeMount[], spec: Partial<GuestSpec> = {}): GuestSpec {
  const image = { kind: 'host' } as const;
  return { id: 'test', hostname: 'test', image, ...MACHINE, mounts, env: [], workdir: '/workspace', ...spec };
}

export function folderMount(path: string, target = '/workspace', readonly = false): VolumeMount {
  return { kind: 'directory', path, target, options: { readonly, noexec: false, nosuid: true, nodev: true } };
}

/** Boots a guest, which may take a template with it. */
export async function bootGuest(driver: QemuDriver, spec: GuestSpec): Promise<Guest> {
  using deadline = new Deadline('Booting a guest of the test', 180_000);
  return driver.boot(spec, deadline);
}

/** The only client of a guest's agent. */
export class GuestClient {
  readonly messages: AgentMessage[] = [];
  readonly #stream: Duplex;
  readonly #listeners = new Set<() => void>();
  #lastId = 0;

  private constructor(stream: Duplex) {
    this.#stream = stream;
    const frames = new FrameDecoder();
    stream.on('data', (chunk: Buffer) => {
      for (const frame of frames.push(chunk)) {
        const message = decodeMessage(frame);
        if (message !== undefined) this.messages.push(message);
      }
      for (const listener of this.#listeners) listener();
    });
    stream.on('error', () => {});
    stream.resume();
  }

  static async connect(guest: Guest): Promise<GuestClient> {
    using deadline = new Deadline('Connecting to a guest of the test', 60_000);
    return new GuestClient(await guest.connectAgent(deadline));
  }

  send(id: number, type: string, payload: unknown): void {
    this.#stream.write(encodeFrame(encodeAnyMessage(id, type, payload)));
  }

  /** Starts a command whose standard input stays open. */
  start(cmd: string, args: readonly string[]): number {
    this.#lastId += 1;
    this.send(this.#lastId, 'core.exec.request', { cmd, args, env: [], rlimits: [] });
    return this.#lastId;
  }

  /** What a shell command writes, when it has ended. */
  async shell(command: string): Promise<{ code: unknown; stdout: string; stderr: string }> {
    const id = this.start('sh', ['-c', command]);
    this.send(id, 'core.exec.stdin', { data: Buffer.alloc(0) });
    const end = await this.until((message) => message.id === id && (message.flags & FLAG.terminal) !== 0);
    const { code } = end.payload as { code: unknown };
    return { code, stdout: this.text(id, 'core.exec.stdout'), stderr: this.text(id, 'core.exec.stderr') };
  }

  /** The value that a program returns, through the runner. */
  async program(code: string): Promise<unknown> {
    const id = this.start(RUNNER_COMMAND, []);
    const frame = { t: 'run', run: 'one', code, outputBytes: 1024, valueBytes: 65_536 };
    this.send(id, 'core.exec.stdin', { data: Buffer.from(`${JSON.stringify(frame)}\n`) });
    await this.until(() => this.text(id, 'core.exec.stdout').includes('"t":"done"'));
    const lines = this.text(id, 'core.exec.stdout').split('\n');
    const done = JSON.parse(lines.find((line) => line.includes('"t":"done"')) ?? '{}') as { end: { value?: unknown } };
    if (!('value' in done.end)) throw new Error(`The program failed: ${JSON.stringify(done)}`);
    return done.end.value;
  }

  text(id: number, type: string): string {
    const parts = this.messages.filter((message) => message.id === id && message.type === type);
    return Buffer.concat(parts.map(({ payload }) => (payload as { data: Buffer }).data)).toString();
  }

  /** The first message, past or to come, that fits. */
  async until(fits: (message: AgentMessage) => boolean): Promise<AgentMessage> {
    using deadline = new Deadline('Waiting for a message of the agent', 120_000);
    const found = Promise.withResolvers<AgentMessage>();
    const look = () => {
      const message = this.messages.find(fits);
      if (message !== undefined) found.resolve(message);
    };
    this.#listeners.add(look);
    look();
    try {
      return await deadline.race(found.promise);
    } finally {
      this.#listeners.delete(look);
    }
  }
}
