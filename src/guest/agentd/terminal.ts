import { constants, openSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { type Argument, LaunchPlan, SYSCALL } from '../../protocol/launch-plan.ts';
import { errnoNameOf } from './errno.ts';
import { launch } from './launch.ts';
import type { StepPlan } from './step-plan.ts';

/** Requests of `include/uapi/asm-generic/ioctls.h`. */
const TIOCSCTTY = 0x540e;
const TIOCSWINSZ = 0x5414;
const TIOCGPTPEER = 0x5441;
const TIOCSPTLCK = 0x40045431;

/** The master's number in a process that `launch` starts. */
const MASTER = 4;
/** How long a terminal that takes no more input is left alone. */
const RETRY_MS = 20;

export interface Size {
  readonly rows: number;
  readonly cols: number;
}

/** The master's side of a pseudo-terminal. */
export class Terminal {
  readonly fd: number;
  readonly #output: ReadStream;
  #input: { data: Uint8Array; readonly done: () => void }[] = [];
  #size: Size | undefined;
  #closed = false;

  /** Throws the failed system call. */
  static open(): Terminal {
    const { O_RDWR, O_NOCTTY, O_NONBLOCK } = constants;
    return new Terminal(openSync('/dev/ptmx', O_RDWR | O_NOCTTY | O_NONBLOCK));
  }

  private constructor(fd: number) {
    this.fd = fd;
    this.#output = new ReadStream(fd);
    // EIO is how the last process tells that it has closed its side.
    this.#output.on('error', () => this.#output.destroy());
    this.#output.on('close', () => this.#drop());
  }

  /** What the processes in the terminal write; it closes when the last one is gone. */
  get output(): ReadStream {
    return this.#output;
  }

  /** `done` is called when the terminal has taken it, or never will. */
  write(data: Uint8Array, done: () => void): void {
    if (this.#closed) {
      done();
      return;
    }
    this.#input.push({ data, done });
    if (this.#input.length === 1) this.#flush();
  }

  /** Sizes that follow one another quickly become one. */
  resize(rows: number, cols: number): void {
    const busy = this.#size !== undefined;
    this.#size = { rows, cols };
    if (!busy) void this.#applySize();
  }

  /** Lets go of what nobody has read yet. */
  discardInput(): void {
    for (const { done } of this.#input.splice(0)) done();
  }

  close(): void {
    this.#output.destroy();
  }

  /** Node itself would write to a terminal in a way that stops this whole process when its buffer is full. */
  #flush(): void {
    for (let next = this.#input[0]; next !== undefined && !this.#closed; next = this.#input[0]) {
      const written = this.#writeSome(next.data);
      if (written === next.data.byteLength) this.#input.shift()?.done();
      else {
        next.data = next.data.subarray(written);
        setTimeout(() => this.#flush(), RETRY_MS);
        return;
      }
    }
  }

  #writeSome(data: Uint8Array): number {
    try {
      return writeSync(this.fd, data);
    } catch (error) {
      // Nobody reads from a terminal that has failed otherwise: what is for it goes nowhere.
      return errnoNameOf(error) === 'EAGAIN' ? 0 : data.byteLength;
    }
  }

  #drop(): void {
    this.#closed = true;
    this.discardInput();
  }

  async #applySize(): Promise<void> {
    while (this.#size !== undefined && !this.#closed) {
      const applied = this.#size;
      const plan = new LaunchPlan();
      plan.call(0, SYSCALL.ioctl, [MASTER, TIOCSWINSZ, plan.bytes(windowSize(applied))]);
      plan.call(0, SYSCALL.exitGroup, [0]);
      await launch(plan, 'ignore', [this.fd]).done.catch(() => {});
      if (this.#size === applied) this.#size = undefined;
    }
  }
}

/** Makes the master's other side descriptors 0 to 2 and the controlling terminal of the session's leader. */
export function planTerminal(steps: StepPlan, size: Size): void {
  const kind = 'pty_setup_failed';
  const add = (stage: string, number: number, args: readonly Argument[]) => steps.add({ stage, kind }, number, args);
  add('unlockpt', SYSCALL.ioctl, [MASTER, TIOCSPTLCK, steps.plan.bytes(Buffer.alloc(4))]);
  add('ioctl(TIOCSWINSZ)', SYSCALL.ioctl, [MASTER, TIOCSWINSZ, steps.plan.bytes(windowSize(size))]);
  // The lowest free number is what a new descriptor gets.
  add('close', SYSCALL.close, [0]);
  add('ioctl(TIOCGPTPEER)', SYSCALL.ioctl, [MASTER, TIOCGPTPEER, constants.O_RDWR | constants.O_NOCTTY]);
  add('dup2', SYSCALL.dup2, [0, 1]);
  add('dup2', SYSCALL.dup2, [0, 2]);
  add('ioctl(TIOCSCTTY)', SYSCALL.ioctl, [0, TIOCSCTTY, 0]);
  add('close', SYSCALL.close, [MASTER]);
}

/** A `struct winsize`. */
function windowSize({ rows, cols }: Size): Buffer {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(rows, 0);
  size.writeUInt16LE(cols, 2);
  return size;
}
