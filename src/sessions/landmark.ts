import { crc32 } from 'node:zlib';
import type { StoredEvent } from './events.ts';

/**
 * The events that are worth finding without reading what lies between them. `execution.interrupted` is an `execution.finished`
 * without an outcome; `mark` is any event, so that no gap gets long.
 */
const TYPES = [
  'mark',
  'session.created',
  'session.resumed',
  'session.closed',
  'checkpoint.set',
  'execution.started',
  'execution.finished',
  'execution.resumed',
  'approval.requested',
  'approval.decided',
  'execution.interrupted',
] as const satisfies readonly (StoredEvent['type'] | 'mark' | 'execution.interrupted')[];

export type LandmarkType = (typeof TYPES)[number];

/** Where one event lies in its session's log. */
export interface Landmark {
  readonly type: LandmarkType;
  /** Empty when the event belongs to no execution. */
  readonly executionId: string;
  readonly seq: number;
  /** The byte at which its line begins, and the one after its newline. */
  readonly start: number;
  readonly end: number;
  /** How many `execution.started` there are up to here. */
  readonly executions: number;
}

/** Every landmark takes as much, so that the n-th is found by counting. */
export const LANDMARK_BYTES = 96;

/** Bytes of a log after which there is a landmark in any case. */
const MARK_EVERY_BYTES = 1024 * 1024;
const MAX_ID_BYTES = 63;
const AT = { crc: 0, type: 4, idLength: 5, seq: 6, start: 12, length: 18, executions: 22, id: 26 } as const;

/** A line of the log, as far as landmarks go. */
export interface Line {
  readonly type: string;
  readonly executionId?: string | undefined;
  readonly seq: number;
  readonly start: number;
  readonly end: number;
}

/** The line of an event that is between these bytes. */
export function lineOf(event: StoredEvent, start: number, end: number): Line {
  const executionId = 'executionId' in event ? event.executionId : undefined;
  const isInterrupted = event.type === 'execution.finished' && event.status === 'interrupted';
  return { type: isInterrupted ? 'execution.interrupted' : event.type, executionId, seq: event.seq, start, end };
}

/** The landmark that a line makes after `previous`; undefined when it makes none. Pure. */
export function landmarkAfter(previous: Landmark | undefined, line: Line): Landmark | undefined {
  const { seq, start, end } = line;
  const { executionId = '' } = line;
  const type = Buffer.byteLength(executionId) <= MAX_ID_BYTES ? TYPES.find((each) => each === line.type) : undefined;
  const executions = (previous?.executions ?? 0) + (type === 'execution.started' ? 1 : 0);
  if (type !== undefined) return { type, executionId, seq, start, end, executions };
  if (end - (previous?.end ?? 0) < MARK_EVERY_BYTES) return undefined;
  return { type: 'mark', executionId: '', seq, start, end, executions };
}

/** The landmark as the `ordinal`-th, counted from 0, of an index. */
export function encodeLandmark(landmark: Landmark, ordinal: number): Buffer {
  const bytes = Buffer.alloc(LANDMARK_BYTES);
  bytes.writeUInt8(TYPES.indexOf(landmark.type), AT.type);
  bytes.writeUInt8(bytes.write(landmark.executionId, AT.id), AT.idLength);
  bytes.writeUIntLE(landmark.seq, AT.seq, 6);
  bytes.writeUIntLE(landmark.start, AT.start, 6);
  bytes.writeUInt32LE(landmark.end - landmark.start, AT.length);
  bytes.writeUInt32LE(landmark.executions, AT.executions);
  bytes.writeUInt32LE(crcOf(bytes, ordinal), AT.crc);
  return bytes;
}

/** Undefined for bytes that are not the `ordinal`-th landmark: never written to their end, damaged, or of another place. */
export function decodeLandmark(bytes: Buffer, ordinal: number): Landmark | undefined {
  const type = TYPES[bytes.readUInt8(AT.type)];
  if (type === undefined || bytes.readUInt32LE(AT.crc) !== crcOf(bytes, ordinal)) return undefined;
  const start = bytes.readUIntLE(AT.start, 6);
  return {
    type,
    executionId: bytes.toString('utf8', AT.id, AT.id + bytes.readUInt8(AT.idLength)),
    seq: bytes.readUIntLE(AT.seq, 6),
    start,
    end: start + bytes.readUInt32LE(AT.length),
    executions: bytes.readUInt32LE(AT.executions),
  };
}

/** The ordinal is part of the sum: a landmark in the place of another is none. */
function crcOf(bytes: Buffer, ordinal: number): number {
  return crc32(bytes.subarray(AT.type), (ordinal + 1) >>> 0);
}
