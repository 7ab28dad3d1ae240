import { AgentClient } from '../protocol/agent-client.ts';
import type { RelayClient, RelaySession } from './relay.ts';

/** This server's own client of a guest's agent, without a socket between. Throws what `attach` throws. */
export function attachAgentClient(attach: (client: RelayClient) => RelaySession): AgentClient {
  const client = new AgentClient({ send: (bytes) => session.receive(bytes), close: () => session.end() });
  const session = attach({
    send: (bytes) => client.receive(bytes),
    backlog: 0,
    close: (reason) => client.lose(reason),
  });
  return client;
}
