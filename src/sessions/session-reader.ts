import { WorkcellError } from '../core/errors.ts';
import type { ExecutionId, SessionId } from '../core/ids.ts';
import type { StoredEvent } from './events.ts';
import type { Landmark, LandmarkType } from './landmark.ts';
import type { LandmarkList } from './landmark-list.ts';
import { type HistoryRange, SessionHistory } from './session-history.ts';
import { type IndexedSource, readIndex } from './session-index.ts';

type Event<Type extends StoredEvent['type']> = Extract<StoredEvent, { readonly type: Type }>;

const ENDS: ReadonlySet<string> = new Set(['execution.finished', 'execution.interrupted']);

export interface Page {
  /** How many at most. */
  readonly limit: number;
  /** The last one of the page before; undefined is the first page. */
  readonly before?: string | undefined;
}

export interface ExecutionPage {
  /** The latest first. */
  readonly executions: readonly ExecutionId[];
  /** `before` of the next page; null when this is the last. */
  readonly next: ExecutionId | null;
}

/** Reads a session by its index: what is asked for, and not what lies before it. It shows the log as it was when this was opened. */
export class SessionReader {
  readonly id: SessionId;
  readonly #history: SessionHistory;
  readonly #landmarks: LandmarkList;

  private constructor(source: IndexedSource, landmarks: LandmarkList) {
    this.id = source.id;
    this.#history = new SessionHistory(source);
    this.#landmarks = landmarks;
  }

  /** Throws `storage_failed` when the log cannot be read. */
  static async open(source: IndexedSource): Promise<SessionReader> {
    return new SessionReader(source, await readIndex(source));
  }

  /** How many executions have started. */
  get executionCount(): number {
    return this.#landmarks.last?.executions ?? 0;
  }

  /** The landmarks, oldest first. */
  landmarks(): Iterable<Landmark> {
    return this.#landmarks.forward();
  }

  /** Throws `not_found` when there is no execution `before`. */
  executions({ limit, before }: Page): ExecutionPage {
    const ids: ExecutionId[] = [];
    for (const { type, executionId } of this.#landmarks.backward(this.#ordinalBefore(before))) {
      if (type !== 'execution.started') continue;
      if (ids.length === limit) return { executions: ids, next: ids.at(-1) ?? null };
      ids.push(executionId as ExecutionId);
    }
    return { executions: ids, next: null };
  }

  /** All that is recorded of one execution, in order; nothing when it is not here. `start`: the byte at which it starts, if known. */
  async *execution(executionId: string, start = 0): AsyncGenerator<StoredEvent> {
    yield* this.histories([executionId], start);
  }

  /** All that is recorded of these executions, one after the other. `start`: a byte before which none of them starts. */
  async *histories(executionIds: readonly string[], start = 0): AsyncGenerator<StoredEvent> {
    const ranges = this.#rangesOf(new Set(executionIds), start);
    for (const executionId of executionIds) {
      for (const range of ranges.get(executionId) ?? []) {
        for await (const { event } of this.#history.lines(range)) {
          if (event !== undefined && 'executionId' in event && event.executionId === executionId) yield event;
        }
      }
    }
  }

  /** The last event of one of these types. */
  async last<Type extends StoredEvent['type'] & LandmarkType>(
    ...types: readonly Type[]
  ): Promise<Event<Type> | undefined> {
    for (const landmark of this.#landmarks.backward()) {
      // The index says which type the line has, and reading it makes sure.
      if ((types as readonly string[]).includes(landmark.type)) return (await this.event(landmark)) as Event<Type>;
    }
    return undefined;
  }

  /** The event of a landmark. Throws `storage_failed` when it is not there any more. */
  async event(landmark: Landmark): Promise<StoredEvent> {
    for await (const { event, type } of this.#history.lines({ from: landmark, end: landmark.end })) {
      if (event !== undefined && (landmark.type === 'mark' || type === landmark.type)) return event;
    }
    const place = `byte ${landmark.start}`;
    throw new WorkcellError(
      'storage_failed',
      `Session "${this.id}" was changed while it was read: see ${place} of its log`,
    );
  }

  /** The first event; undefined for a log without any. */
  async first(): Promise<StoredEvent | undefined> {
    const landmark = this.#landmarks.at(0);
    return landmark === undefined ? undefined : await this.event(landmark);
  }

  /** The parts of the log in which each of the executions runs, is resumed, or is decided about. */
  #rangesOf(executionIds: ReadonlySet<string>, start: number): ReadonlyMap<string, readonly HistoryRange[]> {
    const ranges = new Map<string, HistoryRange[]>([...executionIds].map((id) => [id, []]));
    const open = new Map<string, Landmark>();
    for (const landmark of this.#landmarks.forward(this.#landmarks.ordinalAt(start))) {
      const { type, executionId, end } = landmark;
      if (!executionIds.has(executionId)) continue;
      const from = open.get(executionId);
      if (type === 'execution.started' || type === 'execution.resumed') open.set(executionId, from ?? landmark);
      else if (ENDS.has(type) || from === undefined) {
        ranges.get(executionId)?.push({ from: from ?? landmark, end });
        open.delete(executionId);
      }
    }
    for (const [executionId, from] of open) ranges.get(executionId)?.push({ from });
    return ranges;
  }

  #ordinalBefore(execution: string | undefined): number {
    let ordinal = this.#landmarks.length;
    if (execution === undefined) return ordinal - 1;
    for (const { type, executionId } of this.#landmarks.backward()) {
      ordinal--;
      if (type === 'execution.started' && executionId === execution) return ordinal - 1;
    }
    throw new WorkcellError('not_found', `Session "${this.id}" has no execution ${JSON.stringify(execution)}`);
  }
}
