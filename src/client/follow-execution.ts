import type { Dispatcher } from 'undici';
import { ERRORS, isWorkcellError, messageOf, WorkcellError } from '../core/errors.ts';
import type { ExecutionSummary, HistoryEvent } from './operations.ts';
import { pauseFor, type Transport } from './transport.ts';

export interface FollowOptions {
  /** The last event that is known already; 0, the default, is none. */
  readonly after?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Streams that break off one after the other, without a single event between them. */
const MAX_FRUITLESS = 10;
const PAUSE_MS = 200;

/**
 * The events of an execution up to its end, each once. A stream that breaks off is taken up again where it ended. Throws
 * `server_unreachable` when that does not succeed, and what the server says, such as `history_gone`.
 */
export async function* followExecution(
  transport: Transport,
  path: string,
  { after = 0, signal }: FollowOptions = {},
  first?: Dispatcher.ResponseData,
): AsyncGenerator<HistoryEvent> {
  let known = after;
  let fruitless = 0;
  let hasEnded = false;
  for (let response = first; ; response = undefined) {
    try {
      const { body } = response ?? (await open(transport, path, known, signal));
      for await (const event of readEvents(body)) {
        if (event.seq <= known) continue;
        known = event.seq;
        fruitless = 0;
        // One that was cut off and resumed goes on after that.
        hasEnded = event.type === 'finished';
        yield event;
      }
      if (!hasEnded && known === after && after > 0) hasEnded = await isWhollyKnown(transport, path, known, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (isWorkcellError(error) && !ERRORS[error.code].retryable) throw error;
    }
    if (hasEnded) return;
    fruitless += 1;
    if (fruitless === MAX_FRUITLESS) throw brokenOff(known);
    await pauseFor(PAUSE_MS * fruitless, signal);
  }
}

function open(
  transport: Transport,
  path: string,
  after: number,
  signal: AbortSignal | undefined,
): Promise<Dispatcher.ResponseData> {
  const headers = { accept: 'application/x-ndjson' };
  return transport.send({ method: 'GET', path, query: { after, follow: true }, headers, signal });
}

/** Of an execution that has ended before, nothing comes after its last event, and that says nothing of an end. */
async function isWhollyKnown(
  transport: Transport,
  path: string,
  known: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { result, lastSeq } = await transport.json<ExecutionSummary>({ method: 'GET', path, signal });
  return result !== null && lastSeq <= known;
}

/** The whole lines of a body; empty ones only say that the server is there. */
async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<HistoryEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') yield parse(line);
  }
}

function parse(line: string): HistoryEvent {
  try {
    return JSON.parse(line) as HistoryEvent;
  } catch (error) {
    throw new WorkcellError('protocol_error', `A line of the stream is not JSON: ${messageOf(error)}`);
  }
}

function brokenOff(seq: number): WorkcellError {
  return new WorkcellError(
    'server_unreachable',
    `The stream of the execution broke off ${MAX_FRUITLESS} times after event ${seq}; ask for the events after it later`,
    { details: { after: seq } },
  );
}
