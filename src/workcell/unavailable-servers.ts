import type { UpstreamHub } from '../upstream/upstream-hub.ts';

/** The servers whose calls would be refused at once, and why, in words that a program may read. */
export function unavailableServers(hub: UpstreamHub): ReadonlyMap<string, string> {
  const statuses = hub.servers.map((server) => hub.status(server)).filter(({ breaker }) => breaker === 'open');
  return new Map(
    statuses.map(({ server, retryInMs = 0 }) => [
      server,
      `the MCP server fails; it is tried again in ${Math.ceil(retryInMs / 1_000)} s`,
    ]),
  );
}
