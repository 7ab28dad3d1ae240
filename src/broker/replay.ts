import type { ExecutionStatus } from '../core/execution.ts';
import type { LoggedCall } from '../core/logged-call.ts';
import { toolName } from '../core/tool.ts';
import type { ToolFailure } from '../core/tool-error.ts';
import { CallMatcher, type MadeCall } from './call-matcher.ts';

export interface ReplayOptions {
  /** What the program did before, oldest first. */
  readonly calls: readonly LoggedCall[];
  /** The largest number that a call of the execution has. */
  readonly lastCall: number;
  /** The most that the log keeps of a call's arguments. */
  readonly keptBytes: number;
  /** How much longer than twice the first time a program may take to make a call again. Default 5 s. */
  readonly graceMs?: number;
}

export type Match =
  /** The log has it, with its answer or without. */
  | { readonly kind: 'logged'; readonly logged: LoggedCall }
  | { readonly kind: 'new' }
  | { readonly kind: 'diverged'; readonly failure: ToolFailure };

const GRACE_MS = 5_000;

interface Held {
  readonly made: MadeCall;
  readonly settle: (match: Match) => void;
}

/**
 * A program that runs again, held against what its log has of it.
 *
 * Before the first run was cut off it made the logged calls, whatever else it was about to do; so a program that does the same
 * makes all of them again, without an answer that the log does not have. Until it has, a call that the log does not have is
 * held back: it may be a new one of a part of the program that is ahead of another, or a logged one with other arguments, whose
 * effect would happen twice. When all logged calls are made, those that are held are new. When a logged call does not come,
 * although the program had twice the time that it took first and some more, or the program ends without it, it has diverged.
 */
export class Replay {
  readonly lastCall: number;
  readonly #matcher: CallMatcher;
  readonly #graceMs: number;
  readonly #diverged = new AbortController();
  readonly #held = new Set<Held>();
  #firstMadeAt: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #divergence: ToolFailure | undefined;

  constructor({ calls, lastCall, keptBytes, graceMs = GRACE_MS }: ReplayOptions) {
    this.lastCall = lastCall;
    this.#matcher = new CallMatcher(calls, keptBytes);
    this.#graceMs = graceMs;
  }

  /** Fires when the program does something else than before: it is not to go on. */
  get diverged(): AbortSignal {
    return this.#diverged.signal;
  }

  /** What the log has of a call; takes until that is known. Undefined when the signal fires first. */
  async match(made: MadeCall, signal: AbortSignal): Promise<Match | undefined> {
    this.#firstMadeAt ??= performance.now();
    if (signal.aborted) return undefined;
    if (this.#divergence !== undefined) return { kind: 'diverged', failure: this.#divergence };
    const logged = this.#matcher.take(made);
    if (logged !== undefined) {
      if (this.#matcher.unused.size === 0) this.#release({ kind: 'new' });
      return { kind: 'logged', logged };
    }
    return this.#matcher.unused.size === 0 ? { kind: 'new' } : await this.#hold(made, signal);
  }

  /**
   * Why the execution fails, now that its program has ended: one that ended by itself without all of its logged calls has
   * diverged, too, and so has one whose time ran out while a call waited that the log does not have.
   */
  end(status: ExecutionStatus): ToolFailure | undefined {
    clearTimeout(this.#timer);
    const isStuck = this.#held.size > 0 && status === 'timed_out';
    if (isStuck || status === 'completed' || status === 'failed') this.#diverge();
    return this.#divergence;
  }

  async #hold(made: MadeCall, signal: AbortSignal): Promise<Match | undefined> {
    const settled = Promise.withResolvers<Match | undefined>();
    const held = { made, settle: settled.resolve };
    const onAbort = () => settled.resolve(undefined);
    this.#held.add(held);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#watch();
    try {
      return await settled.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#held.delete(held);
    }
  }

  /** Looks again when the first of the logged calls is overdue. */
  #watch(): void {
    clearTimeout(this.#timer);
    const since = performance.now() - (this.#firstMadeAt ?? 0);
    const due = Math.min(...[...this.#matcher.unused].map(({ afterMs }) => 2 * afterMs + this.#graceMs));
    this.#timer = setTimeout(
      () => {
        if (this.#held.size === 0 || this.#matcher.unused.size === 0) return;
        if (this.#isOverdue()) this.#diverge();
        else this.#watch();
      },
      Math.min(Math.max(0, due - since), MAX_TIMER_MS),
    ).unref();
  }

  #isOverdue(): boolean {
    const since = performance.now() - (this.#firstMadeAt ?? 0);
    return [...this.#matcher.unused].some(({ afterMs }) => since >= 2 * afterMs + this.#graceMs);
  }

  #diverge(): void {
    if (this.#divergence !== undefined) return;
    const [made] = [...this.#held].map((held) => held.made);
    const unused = [...this.#matcher.unused];
    const logged = unused.find((call) => made !== undefined && toolName(call) === toolName(made)) ?? unused[0];
    if (logged === undefined) return;
    this.#divergence = divergence(logged, made);
    this.#release({ kind: 'diverged', failure: this.#divergence });
    this.#diverged.abort();
  }

  #release(match: Match): void {
    clearTimeout(this.#timer);
    for (const held of this.#held) held.settle(match);
  }
}

/** Timers of more milliseconds fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const MAX_TEXT = 300;
const ADVICE =
  'The likely cause is a value that is another one in each run, such as the time, a random number or a UUID (Date.now, Math.random, crypto.randomUUID), in what it calls or in the arguments. Make such values from what stays the same, or keep them in a file of the workspace and read them there; a program that goes on from its checkpoint is resumed without replay';

function divergence(logged: LoggedCall, made: MadeCall | undefined): ToolFailure {
  const did = made === undefined ? 'ended' : `called ${callText(made)}`;
  const message = `The program does not do what it did before: it ${did}, and has not made call ${logged.call} of its log, ${callText(logged)}. ${ADVICE}. Nothing that the log does not have was sent`;
  const details = {
    made: made === undefined ? null : described(made),
    logged: { call: logged.call, ...described(logged) },
  };
  return { code: 'replay_diverged', message, details };
}

function described(call: MadeCall): Readonly<Record<string, unknown>> {
  return { server: call.server, tool: call.tool, arguments: argumentsText(call) };
}

function callText(call: MadeCall): string {
  return `${toolName(call)}(${argumentsText(call)})`;
}

function argumentsText({ arguments: args }: MadeCall): string {
  const text = args === undefined ? '…' : JSON.stringify(args);
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}…`;
}
