/**
 * What a driver without a virtual machine says to our agentd before the guest speaks the public agent protocol: one frame
 * with correlation id 0, which no client is ever given. The agent answers `core.ready`, or `workcell.failed` with a message.
 *
 * The descriptors are inherited: the agent's stream, and the one on which it asks for connections to the outside.
 */
export interface ProcessGuestSetup {
  /** Of everything that is executed. */
  readonly env: Readonly<Record<string, string>>;
  readonly workdir: string;
  /** True: connections to the outside are asked for on the second descriptor. */
  readonly egress: boolean;
  /** What the guest has, in bytes; it shares the host's kernel and cannot see it. */
  readonly memoryBytes: number;
  readonly rlimits?: readonly { readonly resource: string; readonly soft: number; readonly hard: number }[];
}

export const PROCESS_GUEST = {
  setup: 'workcell.setup',
  agentDescriptor: 3,
  egressDescriptor: 4,
} as const;
