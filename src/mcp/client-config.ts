import { WorkcellError } from '../core/errors.ts';
import { isFields } from '../core/fields.ts';

export const MCP_CLIENTS = ['claude-desktop', 'claude-code', 'cursor', 'vscode'] as const;
export type McpClient = (typeof MCP_CLIENTS)[number];

/** The command that starts an MCP server. */
export interface McpCommand {
  readonly command: string;
  readonly args: readonly string[];
}

/** A server that runs already, and wants a key. */
export interface McpRemote {
  readonly url: string;
  /** The environment variable that holds the key where the client runs. */
  readonly keyVariable: string;
}

export interface ClientConfig {
  /** Where the client reads it, from the home folder (`~/…`) or from the project's. */
  readonly path: string;
  /** The key that holds the servers, by their names. */
  readonly key: 'mcpServers' | 'servers';
  readonly entry: Readonly<Record<string, unknown>>;
  /** What the client asks its user for, beside the servers. */
  readonly inputs?: readonly ClientInput[];
}

interface ClientInput {
  readonly id: string;
  readonly [field: string]: unknown;
}

/**
 * What a client's configuration has to hold for it to start the server, or to reach it. No key is in it: the client takes it from
 * its environment, or asks for it. Throws `unsupported` for a client whose file knows only commands. `platform`: as Node names it.
 */
export function clientConfig(
  client: McpClient,
  server: McpCommand | McpRemote,
  platform: NodeJS.Platform,
): ClientConfig {
  const { path, key } = PLACES[client](platform);
  if ('url' in server) return { path, key, ...remoteEntry(client, server) };
  const entry = { command: server.command, args: [...server.args] };
  return { path, key, entry: client === 'vscode' ? { type: 'stdio', ...entry } : entry };
}

/** The text of a configuration with the server in it; everything else in it stays. Throws `invalid_state` for what is not JSON. */
export function withServer(text: string | undefined, name: string, { path, key, entry, inputs }: ClientConfig): string {
  const config = text === undefined || text.trim() === '' ? {} : parse(text, path);
  const servers = objectAt(config, key, path);
  const asked = inputs === undefined ? {} : { inputs: withInputs(config['inputs'], inputs, path) };
  return `${JSON.stringify({ ...config, ...asked, [key]: { ...servers, [name]: entry } }, null, 2)}\n`;
}

type Place = Pick<ClientConfig, 'path' | 'key'>;

const PLACES: Readonly<Record<McpClient, (platform: NodeJS.Platform) => Place>> = {
  'claude-desktop': (platform) => ({ path: desktopPath(platform), key: 'mcpServers' }),
  'claude-code': () => ({ path: '.mcp.json', key: 'mcpServers' }),
  cursor: () => ({ path: '.cursor/mcp.json', key: 'mcpServers' }),
  vscode: () => ({ path: '.vscode/mcp.json', key: 'servers' }),
};

const KEY_INPUT = { type: 'promptString', id: 'workcell-key', description: 'API key of Workcell', password: true };

/** Each client has its own words for a value that is not in its file. */
function remoteEntry(client: McpClient, { url, keyVariable }: McpRemote): Pick<ClientConfig, 'entry' | 'inputs'> {
  const headers = (key: string) => ({ Authorization: `Bearer ${key}` });
  switch (client) {
    case 'claude-desktop':
      throw new WorkcellError(
        'unsupported',
        "Claude Desktop's file knows only servers that it starts: leave --url out, or add the URL in its settings under Connectors",
      );
    case 'claude-code':
      return { entry: { type: 'http', url, headers: headers(`\${${keyVariable}}`) } };
    case 'cursor':
      return { entry: { url, headers: headers(`\${env:${keyVariable}}`) } };
    case 'vscode':
      return { entry: { type: 'http', url, headers: headers(`\${input:${KEY_INPUT.id}}`) }, inputs: [KEY_INPUT] };
  }
}

function withInputs(present: unknown = [], added: readonly ClientInput[], path: string): readonly unknown[] {
  if (!Array.isArray(present))
    throw new WorkcellError('invalid_state', `"inputs" of ${path} is not a list; mend it first`);
  const ids = new Set(added.map(({ id }) => id));
  return [...present.filter((input: unknown) => !(isFields(input) && ids.has(String(input['id'])))), ...added];
}

function desktopPath(platform: NodeJS.Platform): string {
  if (platform === 'darwin') return '~/Library/Application Support/Claude/claude_desktop_config.json';
  if (platform === 'win32') return '~/AppData/Roaming/Claude/claude_desktop_config.json';
  return '~/.config/Claude/claude_desktop_config.json';
}

function parse(text: string, path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (isFields(value)) return value;
  } catch {
    // Told below.
  }
  throw new WorkcellError(
    'invalid_state',
    `${path} is no plain JSON object, perhaps for a comment; add by hand what is printed without --write`,
  );
}

function objectAt(config: Record<string, unknown>, key: string, path: string): Record<string, unknown> {
  const value = config[key] ?? {};
  if (isFields(value)) return value;
  throw new WorkcellError('invalid_state', `"${key}" of ${path} is not an object; mend it first`);
}
