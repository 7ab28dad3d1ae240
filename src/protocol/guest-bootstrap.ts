/**
 * What our own drivers and our own agentd say to each other before the guest speaks the public agent protocol. It travels
 * in the same frames, with correlation id 0, which no client is ever given.
 *
 * 1. agentd -> driver `workcell.waiting`: the kernel is up, nothing of any customer is here. A template is saved here.
 * 2. driver -> agentd `workcell.prime`: be ready for some customer. agentd -> driver `workcell.primed`. A pool waits here.
 * 3. driver -> agentd `workcell.claim`: from now on this guest is one customer's. agentd -> driver `core.ready`.
 * 4. driver -> agentd `workcell.adopt`, when the driver that claimed the guest is gone: agentd ends what its clients have
 *    started, and answers with the bytes of the nonce, outside of any frame, and then `core.ready`.
 *
 * The answer to 2 and 3 can be `workcell.failed` instead.
 */
export interface GuestRefresh {
  /** The host's clock: seconds since the epoch with fraction. */
  readonly time: number;
  /** Fresh random bytes of the host, mixed into the kernel's pool. */
  readonly seed: Uint8Array;
}

export interface GuestPrime extends GuestRefresh {
  /** virtiofs tag of the view that holds `root/` (the image) and `mounts/<n>` (the volumes, none of them yet). */
  readonly tag: string;
  /** True: does once, with nobody's data, what a customer will do; an emulated CPU does it faster the second time. */
  readonly rehearse: boolean;
}

export interface GuestClaim extends GuestRefresh {
  readonly hostname: string;
  readonly mounts: readonly GuestMount[];
  /** `KEY=value` each, for everything that is executed. */
  readonly env: readonly string[];
  readonly workdir: string;
  /** Who runs commands that name nobody. */
  readonly user?: string;
  /** Of every command, unless the command asks for less. */
  readonly rlimits?: readonly GuestResourceLimit[];
  /** Threads that everything in the guest may have together, beyond those that it has when it is claimed. */
  readonly processes: number;
  /** Files that each process may have open. */
  readonly descriptors: number;
  /** True: connections to the outside are asked for on the port {@link EGRESS_PORT}. */
  readonly egress: boolean;
}

export interface GuestAdopt {
  /** 32 random bytes. What comes before them in the stream was meant for a host that is gone. */
  readonly nonce: Uint8Array;
}

export interface GuestResourceLimit {
  readonly resource: string;
  readonly soft: number;
  readonly hard: number;
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
  prime: 'workcell.prime',
  primed: 'workcell.primed',
  claim: 'workcell.claim',
  adopt: 'workcell.adopt',
  failed: 'workcell.failed',
} as const;

/** Names of the virtio-serial ports of every guest. */
export const AGENT_PORT = 'agent.0';
export const EGRESS_PORT = 'egress.0';

/** How long a guest without a host waits for the next one before it ends itself. */
export const ORPHAN_LIMIT_MS = 600_000;

/** Where the guest runtime lies in every guest, and the program that carries programs and their tool calls. */
export const RUNTIME_DIRECTORY = '/opt/workcell';
export const RUNNER_COMMAND: string = `${RUNTIME_DIRECTORY}/bin/runner`;
/** The file of the runtime that runs programs in Python, on the image's own interpreter. */
export const PYTHON_RUNNER = 'runner.py';
/** What it loads from beside itself, to check a program before it runs. */
export const PYTHON_CHECK = 'check_calls.py';
/** Runs in a guest of any image; the image's own node may be missing, or too old for what programs use. */
export const RUNTIME_NODE: string = `${RUNTIME_DIRECTORY}/bin/node`;
