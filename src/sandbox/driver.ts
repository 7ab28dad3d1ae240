import type { Duplex } from 'node:stream';
import type { BootKind, Isolation } from '../core/execution.ts';
import type { NetworkPolicy } from '../core/network-policy.ts';
import type { Deadline } from '../util/deadline.ts';
import type { Secret } from '../util/secret.ts';

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
  /**
   * Takes over a guest that an earlier process of this server has booted with `survives`. Undefined when it is gone or does
   * not answer; nothing of it is left then.
   */
  adopt(record: GuestRecord, deadline: Deadline): Promise<Guest | undefined>;
  /** Guests that wait without a customer; absent where there can be none. */
  readonly waiting?: number;
}

/** What a driver can enforce. A request for anything else is refused, never ignored. */
export interface DriverCapabilities {
  readonly images: readonly ImageSpec['kind'][];
  /** `proxy`: guests reach the host's proxy through {@link Guest.connectEgress}; `native`: the driver applies the policy. */
  readonly network: 'none' | 'proxy' | 'native';
  readonly mounts: readonly VolumeMount['kind'][];
  /** Whether a mount can bound what its guest adds to a folder. */
  readonly quotas: boolean;
  /** Whether {@link GuestSpec.secrets} are kept from the guest. */
  readonly secrets: boolean;
  /** Whether guests can outlive the server process and be adopted by the next one. */
  readonly adopts: boolean;
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
  readonly image: ImageSpec;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly mounts: readonly VolumeMount[];
  /** `KEY=value` each. */
  readonly env: readonly string[];
  readonly workdir: string;
  /** Who runs commands that name nobody: a name or an id, with `:group` if need be. Default root. */
  readonly user?: string;
  /** Of every command, unless the command asks for less. */
  readonly rlimits?: readonly ResourceLimit[];
  /** Absent: the guest reaches nothing. */
  readonly network?: NetworkSpec;
  /** Absent: none. */
  readonly secrets?: GuestSecrets;
  /** True: the guest outlives this process, so that the next one can {@link SandboxDriver.adopt} it. Default false. */
  readonly survives?: boolean;
}

export type ImageSpec =
  | { readonly kind: 'host' }
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'disk'; readonly path: string; readonly format: 'raw' | 'qcow2' | 'vmdk' }
  | { readonly kind: 'oci'; readonly reference: string };

export interface NetworkSpec {
  /** All of them must allow a connection; nothing comes in. */
  readonly policies: readonly NetworkPolicy[];
  /** Whether what is allowed by name must say that name itself, by TLS or HTTP. `native` only. Default false. */
  readonly strict?: boolean;
}

/** Values that the guest may use and never see. */
export interface GuestSecrets {
  readonly entries: readonly GuestSecret[];
  /** When the guest sends a placeholder to another host; none of them lets it through. */
  readonly onViolation: 'block' | 'block-and-log' | 'block-and-terminate';
}

/** The guest's environment has `$MSB_<name>` under this name; on the way to an allowed host that becomes the value. */
export interface GuestSecret {
  readonly name: string;
  readonly value: Secret;
  /** Host names, or `*.` and one. */
  readonly hosts: readonly string[];
  /** The parts of a request over HTTP in which the placeholder is replaced. */
  readonly inject: readonly ('headers' | 'basic_auth' | 'query_params')[];
  /** Whether the host must have proved by TLS who it is. */
  readonly requiresTls: boolean;
}

export interface ResourceLimit {
  /** As the agent protocol names them: `nofile`, `nproc`, `as`, `fsize`, … */
  readonly resource: string;
  readonly soft: number;
  readonly hard: number;
}

export type VolumeMount =
  | {
      readonly kind: 'directory';
      readonly path: string;
      /** An ext4 image that bounds the directory's size; it is what gets mounted. Host code sees it at `path`. */
      readonly capacityImage?: string;
      /** How much the guest may add to what is there. Absent: as much as the disk takes. */
      readonly quotaMib?: number;
      readonly target: string;
      readonly options: MountOptions;
    }
  | { readonly kind: 'tmpfs'; readonly target: string; readonly sizeMib?: number; readonly options: MountOptions };

export interface MountOptions {
  readonly readonly: boolean;
  readonly noexec: boolean;
  readonly nosuid: boolean;
  readonly nodev: boolean;
}

/** What the next process needs to find a guest again: JSON of the driver's own making, without secrets. */
export interface GuestRecord {
  readonly driver: string;
  readonly data: unknown;
}

export interface Guest extends AsyncDisposable {
  readonly boot: BootKind;
  /** Why it is not from the pool, when there is a pool. */
  readonly poolBypass?: string;
  /** What the next process finds it by; present when the guest was booted with `survives`. */
  readonly record?: GuestRecord;
  /** Settles when the guest is gone, whatever ended it; never rejects. */
  readonly exited: Promise<GuestExit>;
  /** The one byte stream of the agent protocol; its first frame is `core.ready`. */
  connectAgent(deadline: Deadline): Promise<Duplex>;
  /** The byte stream on which the guest asks for connections (`protocol/egress-frames.ts`); with a policy and `proxy` only. */
  connectEgress?(deadline: Deadline): Promise<Duplex>;
  /** Called when the record cannot be lost any more. Until then a driver that has this method lets the guest not outlive us. */
  keep?(): Promise<void>;
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
  /** Resident bytes on the host that are not the guest's RAM: the machine's own, and what serves its files. */
  readonly overheadBytes: number;
  /** Host CPU time that it has used. */
  readonly cpuMs: number;
}
