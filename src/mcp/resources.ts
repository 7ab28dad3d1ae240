import { type McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { ReadResourceResult } from '@modelcontextprotocol/sdk/types.js';
import { WorkcellError } from '../core/errors.ts';
import type { Customer } from '../workcell/customer.ts';
import { lookUpExecution } from './execution-report.ts';

const MAX_FILE_BYTES = 4 * 1024 * 1024;
const MAX_LISTED = 1_000;

export type ExecutionPart = 'value' | 'output';

export function executionUri(executionId: string, part: ExecutionPart): string {
  return `workcell://executions/${executionId}/${part}`;
}

/** The files of the customer, and what its executions gave, whole. */
export function registerResources(server: McpServer, customer: Customer): void {
  server.registerResource(
    'file',
    new ResourceTemplate('workcell://workspace/{+path}', {
      list: async () => {
        const { files } = await customer.workspace();
        const { entries } = await files.list('', { maxEntries: MAX_LISTED });
        const names = entries.filter(({ kind }) => kind === 'file').map(({ name }) => name);
        return { resources: names.map((name) => ({ name, uri: `workcell://workspace/${encodeURIComponent(name)}` })) };
      },
    }),
    {
      title: 'A file of the workspace',
      description: 'What programs see below /workspace; those at its top are listed',
    },
    async (uri, { path }) => {
      const { files } = await customer.workspace();
      const bytes = await files.readFile(decodeURIComponent(String(path)), { maxBytes: MAX_FILE_BYTES });
      return { contents: [{ uri: uri.href, ...contentOf(bytes) }] };
    },
  );
  server.registerResource(
    'execution',
    new ResourceTemplate('workcell://executions/{id}/{part}', { list: undefined }),
    { title: 'All of what an execution gave', description: '`value` as JSON, or `output` as text' },
    async (uri, { id, part }): Promise<ReadResourceResult> => {
      const { value, output } = await lookUpExecution(customer, String(id));
      if (part === 'value')
        return { contents: [{ uri: uri.href, mimeType: 'application/json', text: JSON.stringify(value) }] };
      if (part === 'output') return { contents: [{ uri: uri.href, mimeType: 'text/plain', text: output }] };
      throw new WorkcellError('not_found', `An execution has a value and output, and no ${JSON.stringify(part)}`);
    },
  );
}

function contentOf(bytes: Buffer): { text: string; mimeType: string } | { blob: string; mimeType: string } {
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes), mimeType: 'text/plain' };
  } catch {
    return { blob: bytes.toString('base64'), mimeType: 'application/octet-stream' };
  }
}
