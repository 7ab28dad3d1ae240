import type { UpstreamTool } from './upstream-server.ts';

export interface Offers {
  readonly resources: boolean;
  readonly prompts: boolean;
}

/**
 * The tools through which programs reach a server's resources and prompts: generated, checked, limited and logged as its own
 * tools are. A tool of the server's own with the same name wins.
 */
export function helperTools(offers: Offers, own: readonly UpstreamTool[]): readonly UpstreamTool[] {
  const taken = new Set(own.map(({ tool }) => tool));
  const offered = [...(offers.resources ? RESOURCES : []), ...(offers.prompts ? PROMPTS : [])];
  return offered.filter(({ tool }) => !taken.has(tool));
}

const text = { type: 'string' } as const;
const READ_ONLY = { readOnlyHint: true, idempotentHint: true } as const;

function object(properties: Readonly<Record<string, unknown>>, required: readonly string[]) {
  return { type: 'object', properties, required } as const;
}

function listOf(items: unknown) {
  return { type: 'array', items } as const;
}

const named = { name: text, title: text, description: text };

const RESOURCES: readonly UpstreamTool[] = [
  {
    tool: 'list_resources',
    method: 'resources/list',
    description: 'List the MCP resources that this server publishes, and the templates of their URIs.',
    inputSchema: { ...object({}, []), additionalProperties: false },
    outputSchema: object(
      {
        resources: listOf(object({ uri: text, ...named, mimeType: text }, ['uri'])),
        templates: listOf(object({ uriTemplate: text, ...named, mimeType: text }, ['uriTemplate'])),
      },
      ['resources', 'templates'],
    ),
    annotations: READ_ONLY,
  },
  {
    tool: 'read_resource',
    method: 'resources/read',
    description: 'Read one MCP resource of this server by its URI. Binary contents come as base64 in `blob`.',
    inputSchema: { ...object({ uri: text }, ['uri']), additionalProperties: false },
    outputSchema: object({ contents: listOf(object({ uri: text, mimeType: text, text, blob: text }, ['uri'])) }, [
      'contents',
    ]),
    annotations: READ_ONLY,
  },
];

const PROMPTS: readonly UpstreamTool[] = [
  {
    tool: 'list_prompts',
    method: 'prompts/list',
    description: 'List the MCP prompts that this server publishes, with their arguments.',
    inputSchema: { ...object({}, []), additionalProperties: false },
    outputSchema: object(
      {
        prompts: listOf(
          object(
            {
              ...named,
              arguments: listOf(object({ name: text, description: text, required: { type: 'boolean' } }, ['name'])),
            },
            ['name'],
          ),
        ),
      },
      ['prompts'],
    ),
    annotations: READ_ONLY,
  },
  {
    tool: 'get_prompt',
    method: 'prompts/get',
    description: 'Get one MCP prompt of this server, filled in with these arguments.',
    inputSchema: {
      ...object({ name: text, arguments: { type: 'object', additionalProperties: text } }, ['name']),
      additionalProperties: false,
    },
    outputSchema: object(
      {
        description: text,
        messages: listOf(
          object({ role: { enum: ['user', 'assistant'] }, content: { type: 'object' } }, ['role', 'content']),
        ),
      },
      ['messages'],
    ),
    annotations: READ_ONLY,
  },
];
