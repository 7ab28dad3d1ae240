import type { FileHandle } from 'node:fs/promises';
import { messageOfError } from './errno.ts';
import type { Holder, Intake } from './intake.ts';

export interface UploadTarget {
  readonly file: FileHandle;
  /** Undefined to append. */
  readonly offset: number | undefined;
  /** How many bytes there will be; undefined when nobody said. */
  readonly expected: number | undefined;
}

/** Data for an open file: it arrives faster than it is written, so each chunk waits for the one before it. */
export class Upload implements Holder {
  readonly #target: UploadTarget;
  readonly #intake: Intake;
  readonly #onEnd: (error?: string) => void;
  #tail: Promise<void> = Promise.resolve();
  #written = 0;
  #ended = false;

  /** `onEnd` is called once, with what went wrong if something did, unless it is cancelled before. */
  constructor(target: UploadTarget, intake: Intake, onEnd: (error?: string) => void) {
    this.#target = target;
    this.#intake = intake;
    this.#onEnd = onEnd;
  }

  /** Empty data is the end. */
  push(data: Uint8Array): void {
    this.#intake.hold(this, data.byteLength);
    this.#tail = this.#tail.then(async () => {
      if (this.#ended) return;
      try {
        if (data.byteLength === 0) this.#finish();
        else await this.#append(data);
      } catch (error) {
        this.#end(`write: ${messageOfError(error)}`);
      } finally {
        this.#intake.release(this, data.byteLength);
      }
    });
  }

  cancel(): void {
    this.#ended = true;
    this.#intake.forget(this);
  }

  giveUp(): void {
    this.#end('write: the file takes no data');
  }

  async #append(data: Uint8Array): Promise<void> {
    const { file, offset } = this.#target;
    for (let done = 0; done < data.byteLength; ) {
      const position = offset === undefined ? null : offset + this.#written;
      const { bytesWritten } = await file.write(data, done, data.byteLength - done, position);
      done += bytesWritten;
      this.#written += bytesWritten;
    }
  }

  #finish(): void {
    const { expected } = this.#target;
    if (expected === undefined || expected === this.#written) this.#end();
    else this.#end(`write length mismatch: expected ${expected}, wrote ${this.#written}`);
  }

  #end(error?: string): void {
    if (this.#ended) return;
    this.cancel();
    this.#onEnd(error);
  }
}
