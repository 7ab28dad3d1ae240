import { appendFile, mkdir, readFile, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Turns } from '../util/turns.ts';

export interface ServerLogOptions {
  /** The file; what does not fit goes to the same path with `.1` at its end, which is replaced. */
  readonly path: string;
  /** Blots out what must not be in a file. */
  readonly redact: (text: string) => string;
  /** Of each of the two files; default 1 MiB. */
  readonly maxBytes?: number;
}

const MAX_BYTES = 1024 * 1024;
/** Longer lines are cut into pieces. */
const MAX_LINE = 8_192;
/** What may wait for the disk; a server that writes faster loses lines, and the log says so. */
const MAX_WAITING = 256 * 1024;

/** What a server's process writes to stderr, in a bounded file for the operator. Never throws: a log is not worth a failure. */
export class ServerLog {
  readonly #options: ServerLogOptions;
  readonly #writes = new Turns();
  #line = '';
  #waiting = '';
  #dropped = 0;
  #size: number | undefined;

  constructor(options: ServerLogOptions) {
    this.#options = options;
  }

  /** Marks where the output of another process begins. */
  started(): void {
    this.#queue(`${this.#rest()}--- ${new Date().toISOString()} the server is started\n`);
  }

  /** Whole lines are written, so that no secret is cut in two where it could not be found. */
  write(text: string): void {
    this.#line += text;
    const end = this.#line.lastIndexOf('\n') + 1;
    const whole = this.#line.length - end > MAX_LINE ? this.#line.length : end;
    if (whole === 0) return;
    const lines = this.#line.slice(0, whole);
    this.#line = this.#line.slice(whole);
    this.#queue(lines);
  }

  /** Resolves when everything is in the file, or cannot be. */
  async close(): Promise<void> {
    const rest = this.#rest();
    if (rest !== '') this.#queue(rest);
    await this.#writes.take(async () => {});
  }

  #rest(): string {
    const rest = this.#line;
    this.#line = '';
    return rest === '' ? '' : `${rest}\n`;
  }

  #queue(text: string): void {
    if (this.#waiting.length + text.length > MAX_WAITING) {
      this.#dropped += text.length;
      return;
    }
    const isFirst = this.#waiting === '';
    this.#waiting += text;
    if (isFirst) void this.#writes.take(() => this.#flush()).catch(() => {});
  }

  async #flush(): Promise<void> {
    const note = this.#dropped > 0 ? `--- ${this.#dropped} characters came too fast and are left out\n` : '';
    const data = Buffer.from(this.#options.redact(this.#waiting) + note);
    this.#waiting = '';
    this.#dropped = 0;
    const { path, maxBytes = MAX_BYTES } = this.#options;
    if (this.#size === undefined) await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    this.#size ??= await stat(path).then(
      ({ size }) => size,
      () => 0,
    );
    if (this.#size > 0 && this.#size + data.length > maxBytes) {
      await rename(path, `${path}.1`);
      this.#size = 0;
    }
    const kept = data.subarray(Math.max(0, data.length - maxBytes));
    await appendFile(path, kept, { mode: 0o600 });
    this.#size += kept.length;
  }
}

/** The last `lines` of a log with what was rotated away; undefined when there is none. */
export async function readServerLog(path: string, lines: number): Promise<string | undefined> {
  const texts = await Promise.all([`${path}.1`, path].map((file) => readFile(file, 'utf8').catch(() => undefined)));
  if (texts.every((text) => text === undefined)) return undefined;
  return texts.join('').trimEnd().split('\n').slice(-lines).join('\n');
}
