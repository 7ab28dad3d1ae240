/**
 * What the guest's `launch` is told on descriptor 3: system calls, one after the other, and the data that they point to.
 *
 * `launch` reads everything to a fixed address, so that pointers are plain numbers here. It performs the calls in their
 * order; the last one becomes the command or ends the process. The first call that fails is reported on the same
 * descriptor as two numbers of 32 bits, its errno and the tag of the call, and ends it.
 */
export class LaunchPlan {
  readonly #calls: Call[] = [];
  readonly #data: Buffer[] = [];
  readonly #lists: { readonly part: number; readonly pointers: readonly Pointer[] }[] = [];
  #dataBytes = 0;

  /** `tag` names the call in a report; with `tolerated`, failing with this errno is no failure. */
  call(tag: number, number: number, args: readonly Argument[], tolerated = 0): void {
    this.#calls.push({ tag, number, args, tolerated });
  }

  /** A pointer to these bytes. */
  bytes(value: Uint8Array): Pointer {
    const offset = this.#dataBytes;
    const padding = Buffer.alloc((ALIGNMENT - (value.byteLength % ALIGNMENT)) % ALIGNMENT);
    this.#data.push(Buffer.from(value), padding);
    this.#dataBytes += value.byteLength + padding.byteLength;
    return { offset };
  }

  /** A pointer to a text that ends with a NUL. Throws a RangeError when it holds one. */
  text(value: string): Pointer {
    if (value.includes('\0')) throw new RangeError('A text for a system call holds a NUL');
    return this.bytes(Buffer.from(`${value}\0`));
  }

  /** A pointer to a list of texts that ends with a null pointer. */
  texts(values: readonly string[]): Pointer {
    const pointers = values.map((value) => this.text(value));
    const offset = this.#dataBytes;
    this.#data.push(Buffer.alloc((pointers.length + 1) * POINTER_BYTES));
    this.#lists.push({ part: this.#data.length - 1, pointers });
    this.#dataBytes += (pointers.length + 1) * POINTER_BYTES;
    return { offset };
  }

  /** Throws a RangeError when it is larger than what `launch` has room for. */
  encode(): Buffer {
    const base = LAUNCH_MEMORY.address + this.#calls.length * RECORD_BYTES;
    for (const { part, pointers } of this.#lists) {
      pointers.forEach(({ offset }, index) => {
        this.#data[part]?.writeBigUInt64LE(BigInt(base + offset), index * POINTER_BYTES);
      });
    }
    const plan = Buffer.concat([...this.#calls.map((call) => record(call, base)), ...this.#data]);
    if (plan.byteLength >= LAUNCH_MEMORY.bytes)
      throw new RangeError(`A plan of ${plan.byteLength} bytes is over the limit`);
    return plan;
  }
}

/** Where `launch` reads its plan to, and how much it has room for. */
export const LAUNCH_MEMORY = { address: 0x1000_0000, bytes: 8 * 1024 * 1024 } as const;

/** System calls of x86-64, by the kernel's `arch/x86/entry/syscalls/syscall_64.tbl`. */
export const SYSCALL = {
  close: 3,
  ioctl: 16,
  dup2: 33,
  execve: 59,
  chdir: 80,
  mkdir: 83,
  setuid: 105,
  setgid: 106,
  setgroups: 116,
  capset: 126,
  mount: 165,
  clockSettime: 227,
  exitGroup: 231,
  prlimit64: 302,
} as const;

/** Where something lies in the data of a plan. */
export interface Pointer {
  readonly offset: number;
}

/** What `launch` has reported; undefined when the command runs. Throws a RangeError on anything else. */
export function decodeLaunchReport(bytes: Uint8Array): { readonly errno: number; readonly tag: number } | undefined {
  if (bytes.byteLength === 0) return undefined;
  if (bytes.byteLength !== 8) throw new RangeError(`A report of ${bytes.byteLength} bytes is none`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { errno: view.getUint32(0, true), tag: view.getUint32(4, true) };
}

/** A number, or where in the plan's data something lies. */
export type Argument = number | Pointer;

interface Call {
  readonly tag: number;
  readonly number: number;
  readonly args: readonly Argument[];
  readonly tolerated: number;
}

const RECORD_BYTES = 64;
const POINTER_BYTES = 8;
const ALIGNMENT = 8;

/** The number, five arguments, the errno that is tolerated, room for the errno of a failure, and the tag. */
function record({ number, args, tolerated, tag }: Call, base: number): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES);
  [number, ...args].forEach((value, index) => {
    const plain = typeof value === 'number' ? value : base + value.offset;
    bytes.writeBigUInt64LE(BigInt(plain), index * POINTER_BYTES);
  });
  bytes.writeUInt32LE(tolerated, 48);
  bytes.writeUInt32LE(tag, 56);
  return bytes;
}
