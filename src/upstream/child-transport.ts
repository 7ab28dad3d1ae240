import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { getDefaultEnvironment } from '@modelcontextprotocol/sdk/client/stdio.js';
import { ReadBuffer, serializeMessage } from '@modelcontextprotocol/sdk/shared/stdio.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import type { StdioServer } from './upstream-server.ts';

/** How long a server has to end by itself: after its stdin closed, after SIGTERM, and after SIGKILL. */
const GRACE_MS = { stdin: 500, term: 2_000, kill: 5_000 };
const STDERR_CHARACTERS = 8_192;

/**
 * MCP over the stdin and stdout of a child process.
 *
 * The child leads its own process group, and the group ends with it: a wrapper such as `npx` or `sh -c` leaves nothing
 * behind. The end of its stderr is kept, for errors.
 */
export class ChildTransport implements Transport {
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  onmessage?: ((message: JSONRPCMessage) => void) | undefined;
  readonly #server: StdioServer;
  readonly #onStderr: (text: string) => void;
  readonly #incoming = new ReadBuffer();
  readonly #gone = Promise.withResolvers<void>();
  #child: ChildProcessWithoutNullStreams | undefined;
  #closing: Promise<void> | undefined;
  #exit: ChildExit | undefined;
  #stderr = '';

  /** `onStderr` gets all that the process writes there. */
  constructor(server: StdioServer, onStderr: (text: string) => void = () => {}) {
    this.#server = server;
    this.#onStderr = onStderr;
  }

  /** How the process ended; undefined while it runs. */
  get exit(): ChildExit | undefined {
    return this.#exit;
  }

  /** The end of what the process wrote to stderr. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Rejects with the error of `spawn` when the process cannot be started. */
  async start(): Promise<void> {
    const { command, args, cwd, env } = this.#server;
    const configured = Object.entries(env).map(([name, value]) => [name, value.reveal()]);
    const child = spawn(command, args, {
      cwd,
      env: { ...getDefaultEnvironment(), ...Object.fromEntries(configured) },
      stdio: 'pipe',
      detached: true,
    });
    this.#child = child;
    child.stdout.on('data', (chunk: Buffer) => this.#receive(chunk));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARACTERS);
      this.#onStderr(text);
    });
    // A write to a server that went away fails here; that it went away is told by 'close'.
    child.stdin.on('error', () => {});
    child.once('exit', (code, signal) => {
      this.#exit = { code, signal };
      this.#signal('SIGKILL');
    });
    child.once('close', () => this.#finish());
    await once(child, 'spawn');
  }

  /** Resolves when the message has been handed to the process. */
  send(message: JSONRPCMessage): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const stdin = this.#child?.stdin;
    if (stdin?.writable) stdin.write(serializeMessage(message), (error) => (error ? reject(error) : resolve()));
    else reject(new Error('The process is gone'));
    return promise;
  }

  /** Closes stdin, then sends SIGTERM, then SIGKILL; resolves when the process is gone, after 7.5 s at most. */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async #shutDown(): Promise<void> {
    if (this.#child?.pid === undefined) return this.#finish();
    this.#child.stdin.end();
    if (await this.#goneWithin(GRACE_MS.stdin)) return;
    this.#signal('SIGTERM');
    if (await this.#goneWithin(GRACE_MS.term)) return;
    this.#signal('SIGKILL');
    if (!(await this.#goneWithin(GRACE_MS.kill))) this.#finish();
  }

  async #goneWithin(ms: number): Promise<boolean> {
    const timer = Promise.withResolvers<boolean>();
    const timeout = setTimeout(() => timer.resolve(false), ms);
    const gone = await Promise.race([this.#gone.promise.then(() => true), timer.promise]);
    clearTimeout(timeout);
    return gone;
  }

  #finish(): void {
    this.#gone.resolve();
    const { onclose } = this;
    this.onclose = undefined;
    onclose?.();
  }

  #receive(chunk: Buffer): void {
    try {
      this.#incoming.append(chunk);
    } catch (error) {
      this.onerror?.(error as Error);
      void this.close();
      return;
    }
    for (let more = true; more; ) more = this.#deliver();
  }

  /** A line that is no message is reported and skipped: some servers print a banner. */
  #deliver(): boolean {
    try {
      const message = this.#incoming.readMessage();
      if (message === null) return false;
      this.onmessage?.(message);
    } catch (error) {
      this.onerror?.(error as Error);
    }
    return true;
  }

  #signal(signal: NodeJS.Signals): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // Nobody is left in the group.
    }
  }
}

export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}
