import type { AgentMessageType, AgentPayloads } from '../../protocol/agent-messages.ts';

/** Sends a message of this session; false when the host does not read fast enough. */
export type Send = <Type extends AgentMessageType>(type: Type, payload: AgentPayloads[Type]) => boolean;

/** What clients may do with what they have started. */
export interface ExecSession {
  /** Empty data is the end of the input. */
  stdin(data: Uint8Array): void;
  signal(signal: number): void;
  resize(rows: number, cols: number): void;
}
