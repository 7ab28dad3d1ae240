import { StringDecoder } from 'node:string_decoder';
import type { OutputLine } from '../../protocol/json-rpc.ts';

type Stream = OutputLine['stream'];

/** Of each stream; more is counted, dropped and marked. */
const MAX_BYTES = 1024 * 1024;
/** Of each stream: a line costs more than its text once it is JSON. */
const MAX_LINES = 32 * 1024;

/** Output as lines, in the order in which they were completed. Bytes that are not UTF-8 become U+FFFD. */
export class OutputLines {
  readonly #lines: OutputLine[] = [];
  readonly #streams = { stdout: new LineCutter('stdout', this.#lines), stderr: new LineCutter('stderr', this.#lines) };

  push(stream: Stream, data: Uint8Array): void {
    this.#streams[stream].push(data);
  }

  /** A line of this server's own, at the end. */
  note(text: string): void {
    this.finish();
    this.#lines.push({ stream: 'stderr', text: `[workcell] ${text}` });
  }

  /** All lines, also one without an end. */
  finish(): readonly OutputLine[] {
    this.#streams.stdout.finish();
    this.#streams.stderr.finish();
    return this.#lines;
  }
}

class LineCutter {
  readonly #stream: Stream;
  readonly #lines: OutputLine[];
  #decoder = new StringDecoder('utf8');
  #pending = '';
  #bytes = 0;
  #count = 0;
  #dropped = 0;

  constructor(stream: Stream, lines: OutputLine[]) {
    this.#stream = stream;
    this.#lines = lines;
  }

  push(data: Uint8Array): void {
    const room = this.#count >= MAX_LINES ? 0 : Math.max(0, MAX_BYTES - this.#bytes);
    const kept = data.subarray(0, room);
    this.#bytes += kept.byteLength;
    this.#dropped += data.byteLength - kept.byteLength;
    if (kept.byteLength > 0) this.#cut(this.#decoder.write(Buffer.from(kept)));
  }

  finish(): void {
    this.#cut(this.#decoder.end());
    if (this.#pending !== '') this.#add(this.#pending);
    this.#pending = '';
    if (this.#dropped > 0) this.#add(`[workcell] ${this.#dropped} more bytes of ${this.#stream} were cut off here`);
    this.#dropped = 0;
  }

  #cut(text: string): void {
    const parts = text.split('\n');
    for (const [index, part] of parts.entries()) {
      this.#pending += part;
      if (index === parts.length - 1) return;
      if (this.#count < MAX_LINES) this.#add(this.#pending);
      else this.#dropped += Buffer.byteLength(this.#pending) + 1;
      this.#pending = '';
    }
  }

  #add(line: string): void {
    this.#count += 1;
    this.#lines.push({ stream: this.#stream, text: line.endsWith('\r') ? line.slice(0, -1) : line });
  }
}
