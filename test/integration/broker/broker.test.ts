import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Broker } from '../../../src/broker/broker.ts';
import type { ToolDescriptor } from '../../../src/core/tool.ts';
import { UpstreamHub } from '../../../src/upstream/upstream-hub.ts';
import { Deadline } from '../../../src/util/deadline.ts';
import { officialServers } from '../../support/mcp-servers.ts';
import { descendants } from '../../support/processes.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
let hub: UpstreamHub;

beforeEach(async () => {
  folder = await tempFolder();
  hub = new UpstreamHub({ servers: officialServers(folder.path) });
});

afterEach(async () => {
  await hub.close();
  expect(await descendants()).toEqual([]);
  await folder[Symbol.asyncDispose]();
});

async function toolsOf(...servers: readonly string[]): Promise<readonly ToolDescriptor[]> {
  using deadline = new Deadline('The test', 120_000);
  const lists = await Promise.all(
    servers.map(async (server) => {
      const tools = await hub.listTools(server, deadline);
      return tools.map((tool) => ({ ...tool, server, kind: 'upstream' as const, identifier: tool.tool }));
    }),
  );
  return lists.flat();
}

const limits = { toolCalls: 10, valueBytes: 100_000 };

describe('over the official servers', () => {
  it('a run can use what was selected, with real schemas, and nothing else', async () => {
    const tools = await toolsOf('memory', 'filesystem', 'everything');
    const selected = tools.filter(({ tool }) => ['create_entities', 'read_graph', 'get-sum'].includes(tool));
    const broker = new Broker({ tools: selected, hub, limits });
    const call = (server: string, tool: string, args: unknown) => broker.call({ server, tool, arguments: args });

    const entities = [{ name: 'Ann', entityType: 'person', observations: [] }];
    expect(await call('memory', 'create_entities', { entities })).toMatchObject({ ok: true });
    expect(await call('memory', 'create_entities', { entities: [{ name: 3 }] })).toMatchObject({
      error: { code: 'invalid_arguments', message: expect.stringContaining('entities[0]') },
    });
    expect(await call('memory', 'read_graph', {})).toEqual({ ok: true, value: { entities, relations: [] } });
    expect(await call('everything', 'get-sum', { a: 1, b: 2 })).toMatchObject({ ok: true });
    expect(await call('memory', 'delete_entities', { entityNames: ['Ann'] })).toMatchObject({
      error: { code: 'not_selected' },
    });
    expect(broker.records.map(({ ok }) => ok)).toEqual([true, false, true, true, false]);
  });

  it('every schema that they publish can be checked', async () => {
    const tools = await toolsOf('memory', 'filesystem', 'everything');
    const broker = new Broker({ tools, hub: { callTool: async () => ({ ok: true, value: null }) }, limits });
    for (const { server, tool } of tools) await broker.call({ server, tool, arguments: { nothing: 'known' } });
    expect(broker.records.filter(({ error }) => error?.code === 'schema_unusable')).toEqual([]);
  });

  it('closing the run ends a long call of the server', async () => {
    const tools = await toolsOf('everything');
    const broker = new Broker({ tools, hub, limits });
    const args = { duration: 60, steps: 2 };
    const long = broker.call({ server: 'everything', tool: 'trigger-long-running-operation', arguments: args });
    await broker.call({ server: 'everything', tool: 'echo', arguments: { message: 'meanwhile' } });
    await broker.close();
    expect(await long).toMatchObject({ ok: false, error: { code: 'cancelled', message: 'The run is over' } });
    expect(await hub.callTool({ server: 'everything', tool: 'echo', arguments: { message: 'hi' } })).toMatchObject({
      ok: true,
    });
  });
});
