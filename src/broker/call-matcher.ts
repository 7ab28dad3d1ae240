import { canonicalJson } from '../core/canonical-json.ts';
import type { LoggedCall } from '../core/logged-call.ts';

/** What a call is matched by, beside how many like it came before. */
export interface MadeCall {
  readonly server: string;
  readonly tool: string;
  /** As the program sent them. */
  readonly arguments: unknown;
}

/**
 * Finds for each call that a program makes the one that the log has of it: the next with the same tool and the same arguments,
 * whatever the order of their keys. Calls that differ may therefore come in any order. Pure.
 */
export class CallMatcher {
  readonly #queues: ReadonlyMap<string, LoggedCall[]>;
  readonly #unused: Set<LoggedCall>;
  readonly #keptBytes: number;

  /** `keptBytes`: the most that the log keeps of a call's arguments. */
  constructor(calls: readonly LoggedCall[], keptBytes: number) {
    this.#keptBytes = keptBytes;
    this.#unused = new Set(calls);
    this.#queues = Map.groupBy(calls, (call) => this.#keyOf(call));
  }

  /** Those that the program has not made again, in the order in which they were made. */
  get unused(): ReadonlySet<LoggedCall> {
    return this.#unused;
  }

  /** Undefined for one that the log does not have. */
  take(made: MadeCall): LoggedCall | undefined {
    const call = this.#queues.get(this.#keyOf(made))?.shift();
    if (call !== undefined) this.#unused.delete(call);
    return call;
  }

  /** Arguments that are too large to keep are all alike: only the tool tells such calls apart. */
  #keyOf(call: MadeCall | LoggedCall): string {
    const isLost = 'call' in call && call.arguments === undefined;
    const json = isLost ? undefined : jsonOf(call.arguments ?? {});
    const isKept = json !== undefined && Buffer.byteLength(json) <= this.#keptBytes;
    return `${JSON.stringify([call.server, call.tool])}${isKept ? json : ''}`;
  }
}

function jsonOf(value: unknown): string | undefined {
  try {
    return canonicalJson(value);
  } catch {
    return undefined;
  }
}
