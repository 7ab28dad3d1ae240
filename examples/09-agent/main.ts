/** An agent without a model: any MCP client finds a tool, runs a program, is told of its mistake, mends it, and finishes. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { runAgent, type Step, scriptedModel } from './agent-loop.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CITIES = ['Chicago', 'Los Angeles'];

// Without a URL the server is a process of the agent's own; with one, WORKCELL_API_KEY holds the key.
const [url] = process.argv.slice(2);
const client = new Client({ name: 'example-09-agent', version: '1.0.0' });
await client.connect(url === undefined ? ownServer() : serverAt(url));
try {
  const steps: Step[] = [];
  const answer = await runAgent(client, scriptedModel(CITIES), (step) => {
    steps.push(step);
    console.log(`${steps.length}. ${step.tool}${step.isError ? ' failed' : ''}\n${indented(step.text)}`);
  });
  console.log(`\nAnswer  ${answer}`);

  assert.match(answer, /^(Chicago|Los Angeles) is the warmest, with \d+ degrees$/);
  assert.deepEqual(
    steps.map(({ tool, isError }) => [tool, isError]),
    [
      ['search_tools', false],
      ['execute_code', true],
      ['execute_code', false],
    ],
  );
} finally {
  await client.close();
}

function ownServer(): StdioClientTransport {
  const args = [`${ROOT}src/cli/main.ts`, '--config', `${ROOT}config.yaml`, 'mcp', '--customer', 'example-09-agent'];
  return new StdioClientTransport({ command: process.execPath, args });
}

function serverAt(address: string): StreamableHTTPClientTransport {
  const headers = { authorization: `Bearer ${process.env['WORKCELL_API_KEY'] ?? ''}` };
  return new StreamableHTTPClientTransport(new URL(address), { requestInit: { headers } });
}

function indented(text: string): string {
  const lines = text.split('\n');
  const shown = lines.length > 12 ? [...lines.slice(0, 12), '…'] : lines;
  return shown.map((line) => `   ${line}`).join('\n');
}
