import { isWorkcellError, toWorkcellError, type WorkcellError } from '../../core/errors.ts';
import type { ExecHandle, ExecHandlers } from '../../protocol/agent-client.ts';
import type { ExecRequest } from '../../protocol/agent-messages.ts';
import { HEARTBEAT_MS, MAILBOX, MAX_MESSAGE_BYTES, messageName } from '../../protocol/runner-mailbox.ts';
import type { GatedFiles } from '../../util/gated-files.ts';
import { Turns } from '../../util/turns.ts';

export interface MailboxOptions {
  readonly files: GatedFiles;
  /** The mailbox's own folder, relative to the files. */
  readonly folder: string;
  /** Settles when the runner is gone: why, or that nobody knows. */
  readonly ended: Promise<WorkcellError>;
}

const LOOK_EVERY_MS = 10;

/**
 * The host's end of a mailbox; see `protocol/runner-mailbox.ts`. What the guest puts into it is read through the path gate:
 * no link is followed, and what is too large or no regular file ends the session.
 */
export class Mailbox {
  readonly #options: MailboxOptions;
  readonly #writes = new Turns();
  readonly #heartbeat: NodeJS.Timeout;
  readonly #ready = Promise.withResolvers<void>();
  #sent = 0;
  #received = 0;
  #closed = false;
  #failed: WorkcellError | undefined;

  constructor(options: MailboxOptions) {
    this.#options = options;
    this.#heartbeat = setInterval(() => this.#write(''), HEARTBEAT_MS).unref();
  }

  /** Resolves when the runner has said something. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** The runner's standard input and output; which command it is has been decided already. */
  exec(_request: ExecRequest, handlers: ExecHandlers): ExecHandle {
    void this.#deliver(handlers).then((error) => {
      this.close();
      handlers.onEnd(error);
    });
    return { write: (data) => this.#write(data), closeInput: () => this.close(), signal: () => this.close() };
  }

  /** Nothing is read or written from here on. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#heartbeat);
  }

  /** Resolves with why nothing more comes, when all that had come has been passed on. */
  async #deliver({ onOutput }: ExecHandlers): Promise<WorkcellError> {
    let ended: WorkcellError | undefined;
    void this.#options.ended.then((error) => {
      ended = error;
    });
    for (;;) {
      // Asked before looking: what was written before the end is there by now.
      const last = ended ?? this.#failed;
      const message = this.#closed ? undefined : await this.#next().catch(toWorkcellError);
      if (isWorkcellError(message)) return message;
      if (message !== undefined) {
        this.#ready.resolve();
        onOutput('stdout', message);
      } else if (last !== undefined) return last;
      else if (this.#closed) return this.#options.ended;
      else await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  async #next(): Promise<Buffer | undefined> {
    const { files, folder } = this.#options;
    const path = `${folder}/${MAILBOX.toHost}/${messageName(this.#received)}`;
    try {
      const message = await files.readFile(path, { maxBytes: MAX_MESSAGE_BYTES });
      this.#received += 1;
      await files.remove(path);
      return message;
    } catch (error) {
      if (isWorkcellError(error) && error.code === 'not_found') return undefined;
      throw error;
    }
  }

  #write(data: string | Uint8Array): void {
    if (this.#closed) return;
    const { files, folder } = this.#options;
    const path = `${folder}/${MAILBOX.toGuest}/${messageName(this.#sent)}`;
    this.#sent += 1;
    void this.#writes
      .take(() => files.writeFile(path, data))
      .catch((error) => {
        this.#failed ??= toWorkcellError(error);
      });
  }
}
