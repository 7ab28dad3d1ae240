import {
  bytes,
  type Check,
  type Checked,
  flag,
  InvalidPayload,
  i32,
  i64,
  list,
  optional,
  record,
  text,
  u16,
  u32,
  u64,
  withDefault,
} from './payload.ts';

/** What clients may send, and what must be in it. Source: superradcompany/microsandbox `crates/protocol`, generation 7. */
export const REQUESTS = {
  'core.ping': record({}),
  'core.touch': record({}),
  'core.shutdown': (): undefined => undefined,
  'core.clock.sync': record({ unix_time_nanos: u64 }),
  'core.exec.request': record({
    cmd: text,
    args: withDefault(list(text), []),
    env: withDefault(list(text), []),
    cwd: optional(text),
    user: optional(text),
    tty: withDefault(flag, false),
    rows: withDefault(u16, 24),
    cols: withDefault(u16, 80),
    rlimits: withDefault(list(record({ resource: text, soft: u64, hard: u64 })), []),
  }),
  'core.exec.stdin': record({ data: bytes }),
  'core.exec.resize': record({ rows: u16, cols: u16 }),
  'core.exec.signal': record({ signal: i32 }),
  'core.fs.request': record({ op: fsOperation }),
  'core.fs.data': record({ data: bytes }),
  'core.tcp.connect': record({ host: text, port: u16 }),
  'core.tcp.data': record({ data: bytes }),
  'core.tcp.eof': record({}),
  'core.tcp.close': record({}),
} as const satisfies Record<string, Check<unknown>>;

export type RequestType = keyof typeof REQUESTS;
export type Request<Type extends RequestType> = Checked<(typeof REQUESTS)[Type]>;

/** The generation of the protocol that brought these types; the others have always been there. */
const INTRODUCED_IN: Readonly<Record<string, number>> = {
  'core.fs.request': 2,
  'core.fs.data': 2,
  'core.tcp.connect': 4,
  'core.tcp.data': 4,
  'core.tcp.eof': 4,
  'core.tcp.close': 4,
  'core.ping': 6,
  'core.touch': 6,
};

export function isRequestType(type: string): type is RequestType {
  return Object.hasOwn(REQUESTS, type);
}

/** The oldest generation whose clients know this type. */
export function introducedIn(type: RequestType): number {
  return INTRODUCED_IN[type] ?? 1;
}

export type FsOperations = {
  readonly [Name in keyof typeof FS_OPERATIONS]: Checked<(typeof FS_OPERATIONS)[Name]>;
};
export type FsOperation = {
  readonly [Name in keyof FsOperations]: { name: Name; args: FsOperations[Name] };
}[keyof FsOperations];

const ATTRIBUTES = record({
  mode: optional(u32),
  uid: optional(u32),
  gid: optional(u32),
  size: optional(u64),
  atime: optional(i64),
  mtime: optional(i64),
});

export type FsAttributesRequest = Checked<typeof ATTRIBUTES>;

const FS_OPERATIONS = {
  RealPath: record({ path: text }),
  Stat: record({ path: text, follow_symlink: flag }),
  SetStat: record({ path: text, follow_symlink: flag, attrs: ATTRIBUTES }),
  List: record({ path: text }),
  ReadLink: record({ path: text }),
  Symlink: record({ target: text, link_path: text }),
  Mkdir: record({ path: text, mode: optional(u32) }),
  Remove: record({ path: text }),
  RemoveDir: record({ path: text, recursive: flag }),
  Copy: record({ src: text, dst: text }),
  Rename: record({ src: text, dst: text }),
  OpenFile: record({
    path: text,
    options: record({
      read: flag,
      write: flag,
      append: flag,
      create: flag,
      truncate: flag,
      create_new: flag,
      mode: optional(u32),
    }),
  }),
  OpenDir: record({ path: text }),
  CloseHandle: record({ handle: u64 }),
  Read: record({ handle: u64, offset: u64, len: optional(u64) }),
  Write: record({ handle: u64, offset: u64, len: optional(u64) }),
  ReadDir: record({ handle: u64, limit: optional(u32) }),
  FStat: record({ handle: u64 }),
  FSetStat: record({ handle: u64, attrs: ATTRIBUTES }),
} as const;

/** A map with one entry: the key names the operation. */
function fsOperation(value: unknown, path: string): FsOperation {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  const [name = '', args] = entries[0] ?? [];
  if (entries.length !== 1 || !Object.hasOwn(FS_OPERATIONS, name)) {
    throw new InvalidPayload(`"${path}" is not one of ${Object.keys(FS_OPERATIONS).join(', ')}`);
  }
  const check: Check<unknown> = FS_OPERATIONS[name as keyof FsOperations];
  // The check belongs to the operation of this very name.
  return { name, args: check(args, `${path}.${name}`) } as FsOperation;
}
