/**
 * What our own drivers and our own agentd say to each other before the guest speaks the public agent protocol. It travels
 * in the same frames, with correlation id 0, which no client is ever given.
 *
 * 1. agentd -> driver `workcell.waiting`: the kernel is up, nothing of any customer is here. A template is saved here.
 * 2. driver -> agentd `workcell.claim`: from now on this guest is one customer's.
 * 3. agentd -> driver `core.ready`, or `workcell.failed`.
 */
export interface GuestClaim {
  /** The host's clock: seconds since the epoch with fraction. */
  readonly time: number;
  /** Fresh random bytes of the host, mixed into the kernel's pool. */
  readonly seed: Uint8Array;
  readonly hostname: string;
  /** virtiofs tag of the view that holds `root/` (the image) and `mounts/<n>` (the volumes). */
  readonly tag: string;
  readonly mounts: readonly GuestMount[];
  /** `KEY=value` each, for everything that is executed. */
  readonly env: readonly string[];
  readonly workdir: string;
}

export interface GuestMount {
  /** Folder under `mounts/` in the view; undefined for a tmpfs. */
  readonly source?: string;
  /** Absolute path in the guest. */
  readonly target: string;
  readonly options: readonly ('ro' | 'nodev' | 'nosuid' | 'noexec')[];
  /** For a tmpfs: its size. */
  readonly sizeMib?: number;
}

export interface GuestFailure {
  readonly message: string;
}

export const GUEST_MESSAGE = {
  waiting: 'workcell.waiting',
  claim: 'workcell.claim',
  failed: 'workcell.failed',
} as const;

/** Where the guest runtime lies in every guest, and the program that carries programs and their tool calls. */
export const RUNTIME_DIRECTORY = '/opt/workcell';
export const RUNNER_COMMAND: string = `${RUNTIME_DIRECTORY}/bin/runner`;
/** Runs in a guest of any image; the image's own node may be missing, or too old for what programs use. */
export const RUNTIME_NODE: string = `${RUNTIME_DIRECTORY}/bin/node`;
