import type { Language } from '../core/execution.ts';
import type { ProgramSession } from '../core/program-session.ts';

export type { Language };

/** A program as a runner takes it. */
export type ProgramSource =
  | {
      /** Default. */
      readonly language?: 'typescript';
      /** A JavaScript module, whose default export is the program's value. */
      readonly code: string;
    }
  | {
      readonly language: 'python';
      /** As its author wrote it. */
      readonly code: string;
      /** Statements that run before it, in its own namespace. */
      readonly imports: string;
      /** Texts of modules by their absolute path, for a guest without a folder of the servers. */
      readonly modules: Readonly<Record<string, string>>;
      /** Refuses the program when it calls a tool wrongly; default false. */
      readonly typeCheck?: boolean;
    };

/**
 * What the executor and the runner say to each other over the stdio of the runner: one JSON object a line. The runner
 * serves any number of runs at once; `run` tells them apart. The program's own output never travels raw: it is in `out`.
 */
export type HostFrame =
  | (ProgramSource & {
      readonly t: 'run';
      readonly run: string;
      readonly outputBytes: number;
      readonly valueBytes: number;
      /** What it is told of its session; absent for a program without one. */
      readonly session?: ProgramSession;
    })
  | { readonly t: 'answer'; readonly run: string; readonly call: number; readonly ok: true; readonly value: unknown }
  | { readonly t: 'answer'; readonly run: string; readonly call: number; readonly ok: false; readonly error: unknown }
  /** Ends every process of the run at once; `done` follows. */
  | { readonly t: 'kill'; readonly run: string };

export type RunnerFrame =
  | { readonly t: 'hello'; readonly version: number }
  | { readonly t: 'started'; readonly run: string }
  | { readonly t: 'out'; readonly run: string; readonly stream: 'stdout' | 'stderr'; readonly text: string }
  | {
      readonly t: 'call';
      readonly run: string;
      readonly call: number;
      readonly server: string;
      readonly tool: string;
      readonly input: unknown;
    }
  /** To be kept in the session; answered as a call is, and numbered among them. */
  | {
      readonly t: 'checkpoint';
      readonly run: string;
      readonly call: number;
      readonly step: unknown;
      readonly context: unknown;
    }
  /** The program has no use for the answer of a call any more; it gets one all the same. */
  | { readonly t: 'cancel'; readonly run: string; readonly call: number }
  | { readonly t: 'done'; readonly run: string; readonly end: ProgramEnd; readonly usage: ProgramUsage };

/** How the program ended, as far as the guest can tell. */
export type ProgramEnd =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'error'; readonly error: GuestError }
  | {
      readonly kind: 'exit';
      readonly code: number | null;
      readonly signal: string | null;
      readonly outOfMemory: boolean;
    };

/**
 * A thrown value, flattened. Positions in `stack` are those of the transpiled program; of Python, which is not transpiled,
 * they are the author's, and `line` is the innermost of them.
 */
export interface GuestError {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  readonly line?: number;
  readonly fields?: Readonly<Record<string, unknown>>;
}

export interface ProgramUsage {
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  /** Milliseconds from the start of the program to its end, on the guest's clock. */
  readonly ms: number;
}

export const RUNNER_VERSION = 3;

/** Characters of one line; a longer one is a violation of the protocol. */
export const MAX_LINE_CHARS: number = 16 * 1024 * 1024;

export { PROGRAM_URL } from '../core/program-url.ts';

/** Cuts text into JSON lines. A line that is not a JSON object, or is too long, throws. */
export class LineDecoder {
  #buffered = '';

  *push(text: string): Generator<Record<string, unknown>> {
    this.#buffered += text;
    for (let end = this.#buffered.indexOf('\n'); end >= 0; end = this.#buffered.indexOf('\n')) {
      const line = this.#buffered.slice(0, end);
      this.#buffered = this.#buffered.slice(end + 1);
      assertLength(line);
      if (line !== '') yield parseLine(line);
    }
    assertLength(this.#buffered);
  }
}

export function encodeLine(frame: HostFrame | RunnerFrame): string {
  return `${JSON.stringify(frame)}\n`;
}

function assertLength(line: string): void {
  if (line.length > MAX_LINE_CHARS) throw new RangeError('A runner frame is over the limit');
}

function parseLine(line: string): Record<string, unknown> {
  const value: unknown = JSON.parse(line);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('A runner frame is not an object');
  return value as Record<string, unknown>;
}
