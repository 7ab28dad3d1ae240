import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { describe, expect, it } from 'vitest';
import { type HttpSessionLimits, HttpSessions } from '../../../src/mcp/http-sessions.ts';
import { eventually } from '../../support/processes.ts';

const HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const INITIALIZE = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
};

/** Sessions behind a server whose requests say whom they come from. */
async function serving(limits: Partial<HttpSessionLimits>) {
  const sessions = new HttpSessions(limits);
  const server = createServer(async (request, response) => {
    const { owner = '', 'mcp-session-id': id } = request.headers as Record<string, string>;
    try {
      const transport =
        id === undefined
          ? await sessions.open(owner, new Server({ name: 'x', version: '1' }))
          : sessions.use(id, owner, response);
      await transport.handleRequest(request, response);
    } catch (error) {
      response.writeHead(500).end((error as { code: string }).code);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    sessions,
    /** The id of a new session, or why there is none. */
    open: async (owner: string) => {
      const response = await fetch(url, {
        method: 'POST',
        headers: { ...HEADERS, owner },
        body: JSON.stringify(INITIALIZE),
      });
      const text = await response.text();
      return response.headers.get('mcp-session-id') ?? text;
    },
    /** An open stream of events, or why there is none. */
    listen: async (owner: string, id: string) => {
      const response = await fetch(url, {
        headers: { accept: 'text/event-stream', owner, 'mcp-session-id': id },
      });
      return response.ok ? response : await response.text();
    },
    [Symbol.asyncDispose]: async () => {
      await sessions.close();
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

describe('the sessions of the protocol over HTTP', () => {
  it('are so many of one owner: the one that was not used for the longest time gives way', async () => {
    await using server = await serving({ sessionsOfOwner: 2 });
    const [first, second] = [await server.open('ann'), await server.open('ann')];
    const bobs = await server.open('bob');
    expect(server.sessions.size).toBe(3);
    const third = await server.open('ann');
    expect(server.sessions.size).toBe(3);
    expect(await server.listen('ann', first)).toBe('not_found');
    for (const [owner, id] of [
      ['ann', second],
      ['ann', third],
      ['bob', bobs],
    ] as const)
      expect(await server.listen(owner, id)).toBeInstanceOf(Response);
    // All of them are in use.
    expect(await server.open('ann')).toBe('busy');
  });

  it("are so many of all together, and nobody takes another one's", async () => {
    await using server = await serving({ sessions: 2 });
    const anns = await server.open('ann');
    const bobs = await server.open('bob');
    expect(await server.open('carl')).toBe('busy');
    expect(await server.listen('bob', anns)).toBe('not_found');
    const another = await server.open('bob');
    expect(await server.listen('bob', bobs)).toBe('not_found');
    expect(await server.listen('bob', another)).toBeInstanceOf(Response);
  });

  it('end when nobody uses them', async () => {
    await using server = await serving({ idleMs: 50 });
    const idle = await server.open('ann');
    const used = await server.open('ann');
    const stream = await server.listen('ann', used);
    await eventually(() => server.sessions.size === 1);
    expect(await server.listen('ann', idle)).toBe('not_found');
    await (stream as Response).body?.cancel();
    await eventually(() => server.sessions.size === 0);
  });
});
