import type { Readable } from 'node:stream';
import type { HistoryEvent } from '../core/execution.ts';
import { endWhenStalled } from './end-when-stalled.ts';

/** The media types in which the events of an execution are told, and how. */
const STREAM_FORMATS = {
  'application/x-ndjson': {
    render: (event: HistoryEvent) => `${JSON.stringify(event)}\n`,
    /** An empty line: whoever reads lines passes over it. */
    beat: '\n',
  },
  'text/event-stream': {
    render: (event: HistoryEvent) => `id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`,
    beat: ': the server is there\n\n',
  },
} as const satisfies Record<string, StreamFormat>;

export type StreamType = keyof typeof STREAM_FORMATS;

interface StreamFormat {
  readonly render: (event: HistoryEvent) => string;
  /** What is sent when there was no event for a while. */
  readonly beat: string;
}

export interface EventStreamOptions {
  readonly events: AsyncIterable<HistoryEvent>;
  readonly type: StreamType;
  /** After how much silence the client is told that the server is there. Default 15 s. */
  readonly beatMs?: number;
}

const BEAT_MS = 15_000;

/** Events as a body: each is taken when the client has taken the one before. It breaks off where the events do. */
export function eventStream({ events, type, beatMs = BEAT_MS }: EventStreamOptions): Readable {
  return endWhenStalled(encoded(texts(events, STREAM_FORMATS[type], beatMs)));
}

export function isStreamType(type: string): type is StreamType {
  return type in STREAM_FORMATS;
}

async function* encoded(texts: AsyncIterable<string>): AsyncGenerator<Buffer> {
  for await (const text of texts) yield Buffer.from(text);
}

async function* texts(
  events: AsyncIterable<HistoryEvent>,
  { render, beat }: StreamFormat,
  beatMs: number,
): AsyncGenerator<string> {
  const iterator = events[Symbol.asyncIterator]();
  let next = iterator.next();
  try {
    for (;;) {
      const result = await within(next, beatMs);
      if (result === 'silence') yield beat;
      else if (result.done === true) return;
      else {
        yield render(result.value);
        next = iterator.next();
      }
    }
  } finally {
    // Whoever reads no more does not want to hear why nothing follows.
    next.catch(() => {});
    await iterator.return?.();
  }
}

async function within<T>(promise: Promise<T>, ms: number): Promise<T | 'silence'> {
  const silence = Promise.withResolvers<'silence'>();
  const timer = setTimeout(silence.resolve, ms, 'silence');
  try {
    return await Promise.race([promise, silence.promise]);
  } finally {
    clearTimeout(timer);
  }
}
