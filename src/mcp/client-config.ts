import { WorkcellError } from '../core/errors.ts';
import { isFields } from '../core/fields.ts';

export const MCP_CLIENTS = ['claude-desktop', 'claude-code', 'cursor', 'vscode'] as const;
export type McpClient = (typeof MCP_CLIENTS)[number];

/** The command that starts an MCP server. */
export interface McpCommand {
  readonly command: string;
  readonly args: readonly string[];
}

export interface ClientConfig {
  /** Where the client reads it, from the home folder (`~/…`) or from the project's. */
  readonly path: string;
  /** The key that holds the servers, by their names. */
  readonly key: 'mcpServers' | 'servers';
  readonly entry: Readonly<Record<string, unknown>>;
}

/** What a client's configuration has to hold for it to start the server. `platform`: as Node names it. */
export function clientConfig(client: McpClient, command: McpCommand, platform: NodeJS.Platform): ClientConfig {
  const entry = { command: command.command, args: [...command.args] };
  switch (client) {
    case 'claude-desktop':
      return { path: desktopPath(platform), key: 'mcpServers', entry };
    case 'claude-code':
      return { path: '.mcp.json', key: 'mcpServers', entry };
    case 'cursor':
      return { path: '.cursor/mcp.json', key: 'mcpServers', entry };
    case 'vscode':
      return { path: '.vscode/mcp.json', key: 'servers', entry: { type: 'stdio', ...entry } };
  }
}

/** The text of a configuration with the server in it; everything else in it stays. Throws `invalid_state` for what is not JSON. */
export function withServer(text: string | undefined, name: string, { path, key, entry }: ClientConfig): string {
  const config = text === undefined || text.trim() === '' ? {} : parse(text, path);
  const servers = objectAt(config, key, path);
  return `${JSON.stringify({ ...config, [key]: { ...servers, [name]: entry } }, null, 2)}\n`;
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
  throw new WorkcellError('invalid_state', `${path} does not hold a JSON object; add the entry to it by hand`);
}

function objectAt(config: Record<string, unknown>, key: string, path: string): Record<string, unknown> {
  const value = config[key] ?? {};
  if (isFields(value)) return value;
  throw new WorkcellError('invalid_state', `"${key}" of ${path} is not an object; mend it first`);
}
