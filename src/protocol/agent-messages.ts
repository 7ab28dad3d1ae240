import { Decoder, Encoder } from 'cbor-x';
import { FLAG, type RawFrame } from './agent-frames.ts';

/**
 * The messages of the Microsandbox agent protocol, as data.
 *
 * Source: superradcompany/microsandbox `crates/protocol/lib/{message,core,exec,fs,tcp}.rs`, generation 7. Names of fields are
 * those of the wire.
 */
export interface AgentPayloads {
  'core.ready': { boot_time_ns: number; init_time_ns: number; ready_time_ns: number; agent_version: string };
  'core.ping': Record<string, never>;
  'core.pong': Record<string, never>;
  'core.touch': Record<string, never>;
  'core.touched': { activity_seq: number };
  'core.shutdown': Record<string, never>;
  'core.clock.sync': { unix_time_nanos: number };
  'core.relay.client.disconnected': { id_start: number; id_end_exclusive: number };
  'core.error': { kind: AgentErrorKind; message: string; offending_type?: string };

  'core.exec.request': ExecRequest;
  'core.exec.started': { pid: number };
  'core.exec.stdin': { data: Uint8Array };
  'core.exec.stdin.error': { errno?: number; errno_name?: string; message: string };
  'core.exec.stdout': { data: Uint8Array };
  'core.exec.stderr': { data: Uint8Array };
  'core.exec.resize': { rows: number; cols: number };
  'core.exec.signal': { signal: number };
  'core.exec.exited': { code: number };
  'core.exec.failed': ExecFailed;

  'core.fs.request': { op: FsOperation };
  'core.fs.data': { data: Uint8Array };
  'core.fs.response': { ok: boolean; error?: string | null; data?: FsResponseData | null };

  'core.tcp.connect': { host: string; port: number };
  'core.tcp.connected': Record<string, never>;
  'core.tcp.data': { data: Uint8Array };
  'core.tcp.eof': Record<string, never>;
  'core.tcp.close': Record<string, never>;
  'core.tcp.closed': Record<string, never>;
  'core.tcp.failed': { error: string };
}

export type AgentMessageType = keyof AgentPayloads;

export type AgentErrorKind =
  | 'malformed_message'
  | 'unsupported_message_type'
  | 'unsupported_protocol_generation'
  | 'invalid_flags'
  | 'invalid_payload'
  | 'invalid_session';

export interface ExecRequest {
  cmd: string;
  args?: readonly string[];
  /** `KEY=value` each. */
  env?: readonly string[];
  cwd?: string | null;
  user?: string | null;
  tty?: boolean;
  rows?: number;
  cols?: number;
  rlimits?: readonly { resource: string; soft: number; hard: number }[];
}

export interface ExecFailed {
  kind:
    | 'not_found'
    | 'permission_denied'
    | 'not_executable'
    | 'bad_cwd'
    | 'bad_args'
    | 'resource_limit'
    | 'user_setup_failed'
    | 'out_of_memory'
    | 'pty_setup_failed'
    | 'other';
  errno?: number | null;
  errno_name?: string | null;
  message: string;
  stage?: string | null;
}

/** One operation: the key names it. */
export type FsOperation =
  | { RealPath: { path: string } }
  | { Stat: { path: string; follow_symlink: boolean } }
  | { SetStat: { path: string; follow_symlink: boolean; attrs: FsAttributes } }
  | { List: { path: string } }
  | { Copy: { src: string; dst: string } }
  | { Symlink: { target: string; link_path: string } }
  | { ReadLink: { path: string } }
  | { Mkdir: { path: string; mode?: number | null } }
  | { Remove: { path: string } }
  | { RemoveDir: { path: string; recursive: boolean } }
  | { Rename: { src: string; dst: string } }
  | { OpenFile: { path: string; options: FsOpenOptions } }
  | { OpenDir: { path: string } }
  | { CloseHandle: { handle: number } }
  | { Read: { handle: number; offset: number; len?: number | null } }
  | { Write: { handle: number; offset: number; len?: number | null } }
  | { ReadDir: { handle: number; limit?: number | null } }
  | { FStat: { handle: number } }
  | { FSetStat: { handle: number; attrs: FsAttributes } };

/** What is absent or null stays as it is; times are seconds since the epoch. */
export interface FsAttributes {
  mode?: number | null;
  uid?: number | null;
  gid?: number | null;
  size?: number | null;
  atime?: number | null;
  mtime?: number | null;
}

export interface FsOpenOptions {
  read: boolean;
  write: boolean;
  append: boolean;
  create: boolean;
  truncate: boolean;
  create_new: boolean;
  mode: number | null;
}

export interface FsEntryInfo {
  path: string;
  kind: 'file' | 'dir' | 'symlink' | 'other';
  size: number;
  /** With the bits that tell the kind, as `st_mode` has them. */
  mode: number;
  /** Seconds since the epoch, like `atime` and `mtime`. */
  modified: number | null;
  uid: number;
  gid: number;
  atime: number | null;
  mtime: number | null;
}

export type FsResponseData =
  | { Stat: FsEntryInfo }
  | { List: readonly FsEntryInfo[] }
  | { Handle: number }
  | { Path: string };

/** The generation that this code speaks. */
export const PROTOCOL_GENERATION = 7;

/** Bytes of file or output data in one message; keeps a frame below its limit. */
export const DATA_CHUNK_BYTES: number = 1024 * 1024;

export interface AgentMessage {
  readonly id: number;
  readonly flags: number;
  /** Generation of the sender. */
  readonly version: number;
  readonly type: string;
  /** Decoded, not checked: the other side is not trusted. */
  readonly payload: unknown;
}

const FLAGS: { readonly [Type in AgentMessageType]?: number } = {
  'core.pong': FLAG.terminal,
  'core.touched': FLAG.terminal,
  'core.error': FLAG.terminal,
  'core.exec.exited': FLAG.terminal,
  'core.exec.failed': FLAG.terminal,
  'core.fs.response': FLAG.terminal,
  'core.tcp.closed': FLAG.terminal,
  'core.tcp.failed': FLAG.terminal,
  'core.exec.request': FLAG.sessionStart,
  'core.fs.request': FLAG.sessionStart,
  'core.tcp.connect': FLAG.sessionStart,
  'core.shutdown': FLAG.shutdown,
};

// Plain CBOR maps and byte strings, as the Rust side writes and reads them: no records, no tagged arrays.
const options = {
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  tagUint8Array: false,
  int64AsNumber: true,
};
const encoder = new Encoder(options);
const decoder = new Decoder(options);

/** The flags that a frame with a message of this type has. */
export function flagsOf(type: string): number {
  return FLAGS[type as AgentMessageType] ?? 0;
}

/** The frame of one message; its flags follow from its type. */
export function encodeMessage<Type extends AgentMessageType>(
  id: number,
  type: Type,
  payload: AgentPayloads[Type],
): RawFrame {
  return encodeAnyMessage(id, type, payload);
}

/** Like {@link encodeMessage}, for messages outside of the public protocol. */
export function encodeAnyMessage(id: number, type: string, payload: unknown): RawFrame {
  const body = encoder.encode({ v: PROTOCOL_GENERATION, t: type, p: encoder.encode(withIntegers(payload)) });
  return { id, flags: flagsOf(type), body };
}

const MAX_PLAIN_INTEGER = 0xffff_ffff;

/** The encoder writes what needs more than 32 bits as a float, which the other side does not take for an integer. */
function withIntegers(value: unknown): unknown {
  if (typeof value === 'number') {
    return Number.isSafeInteger(value) && Math.abs(value) > MAX_PLAIN_INTEGER ? BigInt(value) : value;
  }
  if (Array.isArray(value)) return value.map(withIntegers);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withIntegers(item)]));
}

/** Undefined when the body is not a message at all. */
export function decodeMessage(frame: RawFrame): AgentMessage | undefined {
  try {
    const envelope: unknown = decoder.decode(frame.body);
    if (typeof envelope !== 'object' || envelope === null) return undefined;
    const { v, t, p } = envelope as { v?: unknown; t?: unknown; p?: unknown };
    if (typeof v !== 'number' || typeof t !== 'string' || !(p instanceof Uint8Array)) return undefined;
    return { id: frame.id, flags: frame.flags, version: v, type: t, payload: decoder.decode(p) };
  } catch {
    return undefined;
  }
}
