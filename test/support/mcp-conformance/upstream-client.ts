// A client of the conformance suite that is our client of upstream servers: lists the tools of the server at URL and calls each.
import { toolName } from '../../../src/core/tool.ts';
import { UpstreamHub } from '../../../src/upstream/upstream-hub.ts';
import { Deadline } from '../../../src/util/deadline.ts';

const url = process.argv.at(-1) ?? '';
const server = 'theirs';
await using hub = new UpstreamHub({
  servers: { [server]: { kind: 'http', url, headers: {}, timeoutMs: 20_000 } },
});
using deadline = new Deadline('Listing the tools', 20_000);
for (const { tool } of await hub.listTools(server, deadline)) {
  const outcome = await hub.callTool({ server, tool, arguments: { a: 2, b: 3 } });
  if (!outcome.ok) throw new Error(`${toolName({ server, tool })}: ${outcome.error.message}`);
}
