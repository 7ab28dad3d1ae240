import { setTimeout as sleep } from 'node:timers/promises';
import type { HistoryEvent } from '../core/execution.ts';
import type { ExecutionId } from '../core/ids.ts';
import { ExecutionHistory } from '../sessions/execution-history.ts';
import { untilAborted } from '../util/until-aborted.ts';
import type { LiveExecution } from './live-execution.ts';
import type { RecordedPlace } from './recorded-executions.ts';

export interface WatchOptions {
  /** Tells only what comes after this `seq`. Default 0: everything. */
  readonly after?: number | undefined;
  /** Whether to wait for what is still to come, until the execution finishes. Default false. */
  readonly follow?: boolean | undefined;
  /** Ends the iteration. */
  readonly signal?: AbortSignal | undefined;
}

/** Who knows about executions. */
export interface WatchSource {
  /** Fires when nothing is waited for any more. */
  readonly closed: AbortSignal;
  /** One that this process runs, once its start is on disk. */
  readonly live: (id: ExecutionId) => Promise<LiveExecution | undefined>;
  /** Throws `not_found` and `history_gone`. */
  readonly place: (id: ExecutionId) => Promise<RecordedPlace>;
  /** Gives an execution that was cut off its end; false for one that waits for an approval, or that somebody runs. */
  readonly settle: (id: ExecutionId) => Promise<boolean>;
}

/** Whether a watch is over, or has to look again, and how far it is. */
interface Watched {
  readonly isOver: boolean;
  readonly seq: number;
}

/** How often it is looked for what another process does, which cannot tell. */
const LOOK_EVERY_MS = 200;
/** How often it is asked whether that process is still there. */
const ASK_EVERY_MS = 2_000;

/** What happened in an execution, and what happens, each event once it is on disk. Iterating throws as the source does. */
export async function* watchExecution(
  id: ExecutionId,
  options: WatchOptions,
  source: WatchSource,
): AsyncGenerator<HistoryEvent> {
  let watched: Watched = { isOver: false, seq: options.after ?? 0 };
  while (!watched.isOver && !hasLeft(options)) {
    const live = await source.live(id);
    watched =
      live === undefined
        ? yield* watchRecorded(id, { ...options, after: watched.seq }, source)
        : yield* watchLive(live, { ...options, after: watched.seq }, source);
  }
}

async function* watchLive(
  live: LiveExecution,
  options: WatchOptions,
  source: WatchSource,
): AsyncGenerator<HistoryEvent, Watched> {
  const { after = 0, follow = false, signal } = options;
  let seq = after;
  for (;;) {
    // Whoever reads slower than the program writes reads what is on disk, so that nothing piles up here.
    const recent = live.recent(seq);
    if (recent === undefined) seq = (yield* tell(await source.place(live.id), { ...options, after: seq })).seq;
    for (const event of recent ?? []) {
      yield event;
      seq = event.seq;
    }
    if (hasLeft(options)) return { isOver: true, seq };
    if ((live.history?.lastSeq ?? 0) > seq) continue;
    if (!follow || live.history?.finished !== undefined) return { isOver: true, seq };
    if (live.hasEnded) return { isOver: false, seq };
    await untilAborted(live.changed, signal);
  }
}

async function* watchRecorded(
  id: ExecutionId,
  options: WatchOptions,
  source: WatchSource,
): AsyncGenerator<HistoryEvent, Watched> {
  const { signal } = options;
  const place = await source.place(id);
  const size = await place.size();
  const { history, seq } = yield* tell(place, options);
  if (history.finished !== undefined || hasLeft(options) || source.closed.aborted) return { isOver: true, seq };
  if (history.state(false) !== 'paused' && (await source.settle(id))) return { isOver: false, seq };
  if (options.follow !== true) return { isOver: true, seq };
  const over = AbortSignal.any(signal === undefined ? [source.closed] : [source.closed, signal]);
  const until = performance.now() + ASK_EVERY_MS;
  while (performance.now() < until && (await place.size()) === size && (await source.live(id)) === undefined) {
    await sleep(LOOK_EVERY_MS, undefined, { signal: over }).catch(() => {});
    if (over.aborted) break;
  }
  return { isOver: false, seq };
}

function hasLeft({ signal }: WatchOptions): boolean {
  return signal?.aborted === true;
}

/** Tells what is on disk at this moment. */
async function* tell(
  place: RecordedPlace,
  options: WatchOptions,
): AsyncGenerator<HistoryEvent, { readonly history: ExecutionHistory; readonly seq: number }> {
  const history = new ExecutionHistory(place.owner);
  let { after: seq = 0 } = options;
  for await (const event of await place.events()) {
    const told = history.push(event);
    if (told === undefined || told.seq <= seq) continue;
    if (hasLeft(options)) break;
    yield told;
    seq = told.seq;
  }
  return { history, seq };
}
