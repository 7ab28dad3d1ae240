import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import { Deadline } from '../util/deadline.ts';
import { Breaker, type BreakerOptions, type BreakerState, backoff } from './breaker.ts';
import { Connection } from './connection.ts';
import { redactor } from './redact.ts';
import { ServerLog } from './server-log.ts';
import type { UpstreamServer } from './upstream-server.ts';

export interface ManagedConnectionOptions {
  readonly name: string;
  /** With every value filled in. */
  readonly server: UpstreamServer;
  /** Where the stderr of its process is kept; default: nowhere. */
  readonly logPath?: string | undefined;
  /** For a connection that is kept only while it is used. Default: it is kept, and made anew by itself. */
  readonly idle?: IdleOptions | undefined;
  readonly breaker?: BreakerOptions | undefined;
  /** The first wait before the connection is made anew by itself; default 500 ms, doubling up to a minute. */
  readonly reconnectMs?: number | undefined;
  readonly closed: AbortSignal;
  /** Told once for each time that the server is down, and again when the reason changes. */
  readonly onProblem: (error: WorkcellError) => void;
  /** Told when the tools may have changed: the server says so, or it was away for a while. */
  readonly onToolsChanged: () => void;
}

export interface IdleOptions {
  /** How long without a call is too long. */
  readonly afterMs: number;
  /** Told then, to close it. */
  readonly onIdle: () => void;
}

/** How one connection stands. */
export interface ConnectionStatus {
  /** `idle`: not needed so far. */
  readonly state: 'idle' | 'connecting' | 'connected' | 'down';
  /** Why it is down, for the operator. */
  readonly problem?: string;
  readonly breaker: BreakerState;
  /** Until the breaker lets somebody try again; absent when it lets everybody. */
  readonly retryInMs?: number;
}

const MAX_RECONNECT_MS = 60_000;

/**
 * The connection to one server, made when it is first needed, once for all who need it, and made anew without end, with
 * growing pauses, when it is lost. While the server fails, its breaker refuses calls at once.
 */
export class ManagedConnection {
  readonly #options: ManagedConnectionOptions;
  readonly #breaker: Breaker;
  readonly #log: ServerLog | undefined;
  #opening: Promise<Connection> | undefined;
  #connected = false;
  #closing: Promise<void> | undefined;
  readonly #endings = new Set<Promise<void>>();
  #retry: NodeJS.Timeout | undefined;
  #attempt = 0;
  #problem: WorkcellError | undefined;
  #wasLost = false;
  #reconnecting = false;
  #users = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(options: ManagedConnectionOptions) {
    this.#options = options;
    this.#breaker = new Breaker(options.breaker);
    const { logPath, server } = options;
    if (logPath !== undefined && server.kind === 'stdio') {
      this.#log = new ServerLog({ path: logPath, redact: redactor(server) });
    }
  }

  get status(): ConnectionStatus {
    const { state, retryInMs } = this.#breaker;
    return {
      state:
        this.#problem !== undefined ? 'down' : this.#connected ? 'connected' : this.#opening ? 'connecting' : 'idle',
      ...(this.#problem === undefined ? {} : { problem: this.#problem.message }),
      breaker: state,
      ...(retryInMs > 0 ? { retryInMs: Math.round(retryInMs) } : {}),
    };
  }

  /** Does something with the connection. Throws `upstream_unavailable` at once while the breaker is open, what connecting throws, and what ended the deadline. */
  async use<T>(deadline: Deadline, work: (connection: Connection) => Promise<T>): Promise<T> {
    this.#options.closed.throwIfAborted();
    const admission = this.#breaker.admit();
    if (admission === 'refused') throw this.#refusal();
    this.#users += 1;
    clearTimeout(this.#idle);
    try {
      return await work(await deadline.race(this.#connect()));
    } finally {
      if (admission === 'probe') this.#breaker.abandoned();
      this.#users -= 1;
      if (this.#users === 0) this.#waitForIdleness();
    }
  }

  /** Ends the session, and the process of a server that is one, and waits for it. */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async #shutDown(): Promise<void> {
    clearTimeout(this.#retry);
    clearTimeout(this.#idle);
    this.#letGo();
    while (this.#endings.size > 0) await Promise.all(this.#endings);
    await this.#log?.close();
  }

  #connect(): Promise<Connection> {
    if (this.#opening !== undefined) return this.#opening;
    const opening: Promise<Connection> = this.#open((error) => this.#lost(opening, error));
    this.#opening = opening;
    opening.then(
      () => {
        if (this.#opening === opening) this.#connected = true;
      },
      (error) => this.#lost(opening, error),
    );
    return opening;
  }

  async #open(onLost: (error: WorkcellError) => void): Promise<Connection> {
    const { name, server, closed, onToolsChanged } = this.#options;
    if (this.#closing !== undefined) throw new WorkcellError('cancelled', `The connection to "${name}" is closed`);
    const what = `Connecting to MCP server "${name}"`;
    using deadline = new Deadline(what, server.timeoutMs, { signal: closed });
    this.#log?.started();
    return await Connection.open(
      {
        name,
        server,
        onStderr: (text) => this.#log?.write(text),
        onLost,
        onAnswer: () => this.#answered(),
        onTrouble: (error) => this.#troubled(error),
        onToolsChanged,
      },
      deadline,
    );
  }

  #answered(): void {
    this.#breaker.succeeded();
    this.#attempt = 0;
    this.#problem = undefined;
    if (!this.#wasLost) return;
    this.#wasLost = false;
    this.#options.onToolsChanged();
  }

  /** A server that is stuck is started anew when the breaker has had enough. */
  #troubled(error: WorkcellError): void {
    this.#breaker.failed();
    if (this.#breaker.state !== 'open') return;
    this.#tell(error);
    this.#letGo();
    this.#wasLost = true;
    this.#scheduleRetry();
  }

  #lost(opening: Promise<Connection>, error: WorkcellError): void {
    if (opening !== this.#opening) return;
    this.#wasLost ||= this.#connected;
    this.#letGo();
    if (this.#options.closed.aborted || this.#closing !== undefined) return;
    // What nobody waited for opens no breaker: the next call may come when the server is back.
    if (!this.#reconnecting || this.#users > 1 || this.#breaker.state === 'half_open') this.#breaker.failed();
    this.#tell(error);
    this.#scheduleRetry();
  }

  #tell(error: WorkcellError): void {
    const isNews = this.#problem?.message !== error.message;
    this.#problem = error;
    if (isNews) this.#options.onProblem(error);
  }

  /** The next one who needs it makes a new connection. */
  #letGo(): void {
    const opening = this.#opening;
    this.#opening = undefined;
    this.#connected = false;
    if (opening === undefined) return;
    const ending = opening.then((connection) => connection.close()).catch(() => {});
    this.#endings.add(ending);
    void ending.then(() => this.#endings.delete(ending));
  }

  #scheduleRetry(): void {
    if (this.#options.idle !== undefined || this.#retry !== undefined) return;
    const pause = backoff(this.#attempt, this.#options.reconnectMs ?? 500, MAX_RECONNECT_MS, Math.random());
    this.#attempt += 1;
    this.#retry = setTimeout(() => void this.#reconnect(), Math.max(pause, this.#breaker.retryInMs)).unref();
  }

  async #reconnect(): Promise<void> {
    const { name, server, closed } = this.#options;
    this.#retry = undefined;
    if (closed.aborted || this.#closing !== undefined || this.#problem === undefined) return;
    using deadline = new Deadline(`Reconnecting to MCP server "${name}"`, server.timeoutMs, { signal: closed });
    this.#reconnecting = true;
    try {
      await this.use(deadline, (connection) => connection.ping(deadline));
    } catch {
      // What failed has been told; when it was refused, somebody else is trying.
      if (!closed.aborted && this.#closing === undefined) this.#scheduleRetry();
    } finally {
      this.#reconnecting = false;
    }
  }

  #waitForIdleness(): void {
    const { idle } = this.#options;
    if (idle === undefined || this.#closing !== undefined) return;
    this.#idle = setTimeout(idle.onIdle, idle.afterMs).unref();
  }

  #refusal(): WorkcellError {
    const { name } = this.#options;
    const seconds = Math.max(1, Math.ceil(this.#breaker.retryInMs / 1000));
    const reason = reasonOf(this.#problem);
    const again = `has failed several times in a row and is tried again in ${seconds} s`;
    const message = `The MCP server "${name}" ${again}; its last failure: ${this.#problem?.message ?? reason}`;
    return new WorkcellError('upstream_unavailable', message, {
      details: { server: name, reason: reason === undefined ? again : `${reason}; it ${again}` },
    });
  }
}

/** What a guest may know of it. */
function reasonOf(problem: WorkcellError | undefined): string | undefined {
  const reason = isWorkcellError(problem) ? problem.details['reason'] : undefined;
  return typeof reason === 'string' ? reason : undefined;
}
