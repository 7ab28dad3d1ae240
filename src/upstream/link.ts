import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';

/** One transport to a server, for as long as it holds. */
export interface Link {
  readonly transport: Transport;
  /** Whether the transport closes by itself when the server is gone; otherwise someone has to ask. */
  readonly noticesLoss: boolean;
  /** Whether a failed ping, or the end of the transport, means that the session is over. */
  isLoss(error: unknown): boolean;
  /** Why connecting or a request failed. */
  explain(error: unknown): Trouble;
  /** Lets go of everything the link holds, and waits until it is gone. Never rejects; bounded. */
  close(): Promise<void>;
}

export interface Trouble {
  /** Finishes "The MCP server x …": `exited with code 1`; holds no path, text or secret of the host, so that a guest may read it. */
  readonly reason: string;
  /** For the operator: the reason with everything that helps to repair it. */
  readonly detail: string;
  /** False when the request surely never reached the server. */
  readonly sent: boolean;
  /** True when the server is there and said so, if only to refuse; default false. */
  readonly answered?: boolean;
}
