import type { RawFrame } from '../../protocol/agent-frames.ts';
import type { Supervisor } from '../runner/supervisor.ts';

/** Where frames to the host go. */
export interface AgentLink {
  /** False when the host does not read fast enough; `onDrain` tells when to go on. */
  send(frame: RawFrame): boolean;
  onDrain(listener: () => void): void;
  /** Takes nothing more from the host until `resume`. A link without these is bounded more narrowly, see `Intake`. */
  pause?(): void;
  resume?(): void;
}

export interface AgentOptions {
  readonly link: AgentLink;
  readonly supervisor: Pick<Supervisor, 'open' | 'attach'>;
  readonly env: Readonly<Record<string, string>>;
  readonly workdir: string;
  /** Who runs commands that name nobody: a name or an id, with `:group` if need be. Default root. */
  readonly user?: string;
  /** Of every command, unless the command asks for less. */
  readonly rlimits?: readonly { readonly resource: string; readonly soft: number; readonly hard: number }[];
}
