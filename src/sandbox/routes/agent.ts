import type { FastifyInstance } from 'fastify';
import type { WebSocket } from 'ws';
import { messageOf } from '../../core/errors.ts';
import type { SandboxRegistry } from '../registry.ts';
import type { Sandbox } from '../sandbox.ts';
import { findSandbox } from './parse.ts';

// RFC 6455 section 7.4.1.
const NORMAL_CLOSURE = 1000;
const INTERNAL_ERROR = 1011;
const MAX_REASON_BYTES = 120;

/** `GET /v1/sandboxes/{id}/agent`: the bytes of the agent protocol in binary messages, whose boundaries mean nothing. */
export function agentRoute(app: FastifyInstance, registry: SandboxRegistry): void {
  app.get(
    '/v1/sandboxes/:id/agent',
    {
      websocket: true,
      // Before the upgrade, so that a client sees a status and not a connection that closes.
      preHandler: async (request) => void findSandbox(registry, request).relay,
    },
    (socket, request) => connect(socket, findSandbox(registry, request)),
  );
}

function connect(socket: WebSocket, sandbox: Sandbox): void {
  try {
    const session = sandbox.attach({
      send: (bytes) => socket.send(bytes),
      get backlog() {
        return socket.bufferedAmount;
      },
      close: (reason) => socket.close(NORMAL_CLOSURE, reason.slice(0, MAX_REASON_BYTES)),
    });
    socket.on('message', (data) =>
      session.receive(Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer)),
    );
    socket.on('close', () => session.end());
    socket.on('error', () => session.end());
  } catch (error) {
    socket.close(INTERNAL_ERROR, messageOf(error).slice(0, MAX_REASON_BYTES));
  }
}
