import type { Socket } from 'node:net';
import { messageOf, WorkcellError } from '../../../core/errors.ts';
import type { Deadline } from '../../../util/deadline.ts';
import { connectUnix } from './unix-socket.ts';

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A client of QEMU's machine protocol: commands one after the other, events ignored.
 *
 * Source: QEMU `docs/interop/qmp-spec`.
 */
export class Qmp {
  readonly #socket: Socket;
  readonly #pending: Pending[] = [];
  #buffered = '';
  #closed: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('QEMU closed its control socket')));
  }

  static async connect(path: string, deadline: Deadline): Promise<Qmp> {
    const qmp = new Qmp(await connectUnix(path, deadline));
    await qmp.execute('qmp_capabilities', {}, deadline);
    return qmp;
  }

  async execute(command: string, args: Readonly<Record<string, unknown>>, deadline: Deadline): Promise<unknown> {
    const answer = new Promise<unknown>((resolve, reject) => this.#pending.push({ resolve, reject }));
    if (this.#closed !== undefined) this.#end(this.#closed);
    else this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    try {
      return await deadline.race(answer);
    } catch (error) {
      deadline.check();
      throw new WorkcellError('sandbox_boot_failed', `QEMU refused ${command}: ${messageOf(error)}`, { cause: error });
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    this.#buffered += text;
    const lines = this.#buffered.split('\n');
    this.#buffered = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') this.#handle(JSON.parse(line));
  }

  #handle(message: { return?: unknown; error?: { desc: string } }): void {
    if (message.error !== undefined) this.#pending.shift()?.reject(new Error(message.error.desc));
    else if ('return' in message) this.#pending.shift()?.resolve(message.return);
  }

  #end(error: Error): void {
    this.#closed ??= error;
    for (const pending of this.#pending.splice(0)) pending.reject(error);
  }
}
