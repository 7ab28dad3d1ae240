import { expect, test } from 'vitest';
import { UpstreamHub } from '../../../src/upstream/upstream-hub.ts';
import { unavailableServers } from '../../../src/workcell/unavailable-servers.ts';
import { doubleServer } from '../../support/mcp-servers.ts';

test('unavailableServers() names those that are refused at once, and no other', async () => {
  const working = doubleServer({ tools: [{ name: 'ping', inputSchema: { type: 'object' } }] });
  const broken = { ...working, command: '/nowhere/server' };
  await using hub = new UpstreamHub({ servers: { broken, working }, breaker: { failures: 1 } });
  expect(unavailableServers(hub)).toEqual(new Map());
  for (const server of ['broken', 'working']) await hub.callTool({ server, tool: 'ping', arguments: {} });
  expect([...unavailableServers(hub)]).toEqual([
    ['broken', expect.stringMatching(/^the MCP server fails; it is tried again in \d+ s$/)],
  ]);
});
