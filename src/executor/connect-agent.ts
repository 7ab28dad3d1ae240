import { WebSocket } from 'undici';
import { AgentClient } from '../protocol/agent-client.ts';
import type { Deadline } from '../util/deadline.ts';
import type { MicrosandboxClient } from './microsandbox-client.ts';

/** Connects to the agent of a sandbox through the server's WebSocket, and waits until it is ready. */
export async function connectAgent(
  { url, headers }: Pick<MicrosandboxClient, 'url' | 'headers'>,
  sandboxId: string,
  deadline: Deadline,
): Promise<AgentClient> {
  const address = `${url.replace(/^http/, 'ws')}/v1/sandboxes/${encodeURIComponent(sandboxId)}/agent`;
  const socket = new WebSocket(address, { headers });
  const agent = new AgentClient({ send: (bytes) => socket.send(bytes), close: () => socket.close() });
  socket.binaryType = 'arraybuffer';
  socket.addEventListener('message', (event) => agent.receive(new Uint8Array(event.data as ArrayBuffer)));
  socket.addEventListener('close', (event) => agent.lose(event.reason || 'the connection was closed'));
  socket.addEventListener('error', () => agent.lose('the connection cannot be made'));
  try {
    await deadline.race(agent.ready);
    return agent;
  } catch (error) {
    agent[Symbol.dispose]();
    throw error;
  }
}
