import type { Duplex } from 'node:stream';
import type { Isolation } from '../core/execution.ts';
import type { Deadline } from '../util/deadline.ts';

/** Boots and stops guests of one kind. Holds no policy: names, states, limits and clients are the server's business. */
export interface SandboxDriver extends AsyncDisposable {
  readonly name: string;
  readonly isolation: Isolation;
  readonly capabilities: DriverCapabilities;
  /** Whether guests can be booted here, or every reason why not with what to do about it. Never throws. */
  probe(): Promise<DriverProbe>;
  /** Makes what boots need and no administrator has to provide; a later boot does it when this was not called. */
  prepare(deadline: Deadline, onProgress: OnProgress): Promise<void>;
  boot(spec: GuestSpec, deadline: Deadline): Promise<Guest>;
}

/** What a driver can enforce. A request for anything else is refused, never ignored. */
export interface DriverCapabilities {
  readonly images: readonly ('host' | 'directory' | 'oci')[];
  readonly network: boolean;
  readonly mounts: readonly VolumeMount['kind'][];
}

export interface DriverProbe {
  readonly ready: boolean;
  readonly isolation: Isolation;
  readonly problems: readonly DriverProblem[];
  /** What was found: versions, paths of binaries, the accelerator. */
  readonly facts: Readonly<Record<string, string>>;
}

export interface DriverProblem {
  readonly what: string;
  readonly fix: string;
  /** Debian packages that would solve it. */
  readonly packages?: readonly string[];
}

export type OnProgress = (text: string) => void;

export interface GuestSpec {
  readonly id: string;
  readonly hostname: string;
  readonly image: { readonly kind: 'host' } | { readonly kind: 'directory'; readonly path: string };
  readonly cpus: number;
  readonly memoryMib: number;
  readonly mounts: readonly VolumeMount[];
  /** `KEY=value` each. */
  readonly env: readonly string[];
  readonly workdir: string;
}

export type VolumeMount =
  | { readonly kind: 'directory'; readonly path: string; readonly target: string; readonly options: MountOptions }
  | { readonly kind: 'tmpfs'; readonly target: string; readonly sizeMib?: number; readonly options: MountOptions };

export interface MountOptions {
  readonly readonly: boolean;
  readonly noexec: boolean;
  readonly nosuid: boolean;
  readonly nodev: boolean;
}

export interface Guest extends AsyncDisposable {
  readonly boot: 'restored' | 'cold';
  /** Settles when the guest is gone, whatever ended it; never rejects. */
  readonly exited: Promise<GuestExit>;
  /** The one byte stream of the agent protocol; its first frame is `core.ready`. */
  connectAgent(deadline: Deadline): Promise<Duplex>;
  /** Asks the guest to end, and ends it when it has not after `graceMs`. Safe to call again. */
  stop(graceMs: number): Promise<StopReport>;
  metrics(): Promise<GuestMetrics>;
}

export interface GuestExit {
  /** True when nobody asked for it. */
  readonly unexpected: boolean;
  readonly reason: string;
}

export interface StopReport {
  readonly forced: boolean;
}

export interface GuestMetrics {
  /** Resident bytes of the virtual machine on the host. */
  readonly residentBytes: number;
  /** Host CPU time that it has used. */
  readonly cpuMs: number;
}
