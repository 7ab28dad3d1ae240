import { writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type ApiServer, openApiServer } from '../support/api-server.ts';
import { cli } from '../support/cli.ts';
import { npmPackage } from '../support/npm-package.ts';
import { command } from '../support/stock-clients.ts';

/** The protocol's own inspector. */
const INSPECTOR = {
  name: '@modelcontextprotocol/inspector',
  version: '2.12.0',
  integrity: 'sha512-ppfN5+HnVWo6dY7jz5RMFUFTfEYPnFUjN3XN2w6PI6nmB/AFFXPGPfLBRvCeSx+qIH6kpi7Nsz5HYRp49loHpA==',
};
const TOOLS = ['search_tools', 'execute_code', 'get_execution', 'search_skills', 'save_skill'];
const TIMEOUT_MS = 180_000;

let server: ApiServer;
let main: string;

beforeAll(async () => {
  server = await openApiServer();
  main = join(await npmPackage(INSPECTOR), 'node_modules/.bin/mcp-inspector');
}, TIMEOUT_MS);

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

async function inspect(...args: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await command(process.execPath, [main, '--cli', ...args], {
    // It keeps files in its home, which go away with the test.
    env: { HOME: server.folder },
  });
  expect([code, stderr]).toEqual([0, expect.any(String)]);
  return JSON.parse(stdout);
}

/** What reaches the server: the entry that is printed for clients which start it; a URL, and a key. */
const TARGETS: Readonly<Record<string, () => Promise<readonly string[]>>> = {
  'over stdio': async () => {
    const install = ['--config', 'config.yaml', 'mcp', 'install', 'claude-code', '--customer', 'ann'];
    const { stdout } = await cli(install, { cwd: server.folder });
    const printed = JSON.parse(stdout) as { mcpServers: { workcell: object } };
    // The cache stays that of the user.
    const env = { XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache') };
    const mcpServers = { workcell: { ...printed.mcpServers.workcell, env } };
    const path = join(server.folder, 'inspector.json');
    await writeFile(path, JSON.stringify({ mcpServers }));
    return ['--config', path, '--server', 'workcell'];
  },
  'over HTTP': async () => [`${server.url}/customers/bob/mcp`, '--header', `Authorization: Bearer ${server.key}`],
};

it.each(Object.entries(TARGETS))(
  'the official inspector lists the tools and calls them %s',
  { timeout: TIMEOUT_MS },
  async (_, targetOf) => {
    const target = await targetOf();
    const listed = await inspect(...target, '--method', 'tools/list', '--strict');
    expect((listed as { tools: { name: string }[] }).tools.map(({ name }) => name)).toEqual(TOOLS);

    const call = ['--method', 'tools/call', '--tool-name', 'execute_code', '--tool-arg', 'code=return 6 * 7'];
    expect(await inspect(...target, ...call)).toMatchObject({ structuredContent: { status: 'completed', value: 42 } });
  },
);
