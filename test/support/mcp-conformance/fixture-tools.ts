import { setTimeout as sleep } from 'node:timers/promises';
import {
  type CallToolResult,
  type ElicitRequestFormParams,
  ElicitResultSchema,
  type Tool,
} from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { WorkcellError } from '../../../src/core/errors.ts';
import { type CallExtra, type CallTool, ToolTable } from '../../../src/mcp/tool-table.ts';

/** One red pixel. */
export const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
/** Silence. */
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=';

const TEXT = { type: 'text', text: 'This is a simple text response for testing.' } as const;
const IMAGE = { type: 'image', data: PNG, mimeType: 'image/png' } as const;
const AUDIO = { type: 'audio', data: WAV, mimeType: 'audio/wav' } as const;
const EMBEDDED = resource('test://embedded-resource', 'text/plain', 'This is an embedded resource content.');
const MIXED = resource('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}');

/** What a server has to offer for the scenarios of tools that apply to ours, through the very table of our own tools. */
export function fixtureTools(): ToolTable {
  const tools = new FixtureTools();
  const shows = (name: string, ...content: CallToolResult['content']) =>
    tools.registerTool(name, { description: 'Shows something', inputSchema: {} }, async () => ({ content }));
  shows('test_simple_text', TEXT);
  shows('test_image_content', IMAGE);
  shows('test_audio_content', AUDIO);
  shows('test_embedded_resource', EMBEDDED);
  shows('test_multiple_content_types', { type: 'text', text: 'Multiple content types test:' }, IMAGE, MIXED);
  tools.registerTool('test_error_handling', { description: 'Fails', inputSchema: {} }, async () => {
    throw new WorkcellError('invalid_state', 'This tool intentionally returns an error for testing');
  });
  tools.registerTool('test_tool_with_progress', { description: 'Takes a while', inputSchema: {} }, takeSteps);
  tools.registerTool('test_reconnection', { description: 'Hangs up on its caller', inputSchema: {} }, hangUp);
  tools.registerTool(
    'test_elicitation',
    { description: 'Asks', inputSchema: { message: z.string() } },
    ({ message }, extra) => ask(extra, { message, requestedSchema: USER }),
  );
  const asks = (name: string, requestedSchema: ElicitRequestFormParams['requestedSchema']) =>
    tools.registerTool(name, { description: 'Asks', inputSchema: {} }, (_args, extra) =>
      ask(extra, { message: 'Please fill this in', requestedSchema }),
    );
  asks('test_elicitation_sep1034_defaults', DEFAULTS);
  asks('test_elicitation_sep1330_enums', ENUMS);
  return tools;
}

/** With a tool that has a JSON Schema of its own, as an upstream server's has. */
class FixtureTools extends ToolTable {
  override list(): readonly Tool[] {
    return [...super.list(), JSON_SCHEMA_TOOL];
  }

  override find(name: string): CallTool | undefined {
    return name === JSON_SCHEMA_TOOL.name ? async () => ({ content: [TEXT] }) : super.find(name);
  }
}

const JSON_SCHEMA_TOOL: Tool = {
  name: 'json_schema_2020_12_tool',
  description: 'Tool with JSON Schema 2020-12 features',
  inputSchema: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    $defs: { address: { type: 'object', properties: { street: { type: 'string' }, city: { type: 'string' } } } },
    properties: { name: { type: 'string' }, address: { $ref: '#/$defs/address' } },
    additionalProperties: false,
  },
};

const USER: ElicitRequestFormParams['requestedSchema'] = {
  type: 'object',
  properties: {
    username: { type: 'string', description: "User's response" },
    email: { type: 'string', description: "User's email address" },
  },
  required: ['username', 'email'],
};

const DEFAULTS: ElicitRequestFormParams['requestedSchema'] = {
  type: 'object',
  properties: {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  },
};

const TITLED = ['First', 'Second', 'Third'].map((title, index) => ({ const: `value${index + 1}`, title }));
const OPTIONS = ['option1', 'option2', 'option3'];
const ENUMS: ElicitRequestFormParams['requestedSchema'] = {
  type: 'object',
  properties: {
    untitledSingle: { type: 'string', enum: OPTIONS },
    titledSingle: { type: 'string', oneOf: TITLED },
    legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['One', 'Two', 'Three'] },
    untitledMulti: { type: 'array', items: { type: 'string', enum: OPTIONS } },
    titledMulti: { type: 'array', items: { anyOf: TITLED } },
  },
};

function resource(uri: string, mimeType: string, text: string) {
  return { type: 'resource', resource: { uri, mimeType, text } } as const;
}

async function takeSteps(_args: object, { _meta, sendNotification }: CallExtra): Promise<CallToolResult> {
  const progressToken = _meta?.progressToken ?? 0;
  for (const progress of [0, 50, 100]) {
    await sendNotification({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
    // The scenario asks for the pause.
    await sleep(20);
  }
  return { content: [TEXT] };
}

async function hangUp(_args: object, { closeSSEStream }: CallExtra): Promise<CallToolResult> {
  closeSSEStream?.();
  await sleep(20);
  return { content: [TEXT] };
}

async function ask({ sendRequest }: CallExtra, params: ElicitRequestFormParams): Promise<CallToolResult> {
  const { action, content } = await sendRequest({ method: 'elicitation/create', params }, ElicitResultSchema);
  const text = `User response: action=${action}, content=${JSON.stringify(content)}`;
  return { content: [{ type: 'text', text }] };
}
