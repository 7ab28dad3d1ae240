import { describe, expect, it } from 'vitest';
import { clientConfig, MCP_CLIENTS, withServer } from '../../../src/mcp/client-config.ts';

const remote = { url: 'https://example.com/mcp', keyVariable: 'WORKCELL_API_KEY' };
const command = { command: 'node', args: ['main.js', 'mcp'] };

/** In the words of clients for a value that is not in their file. */
const bearer = (name: string) => `Bearer \${${name}}`;

describe('the configuration of a client', () => {
  it.each(MCP_CLIENTS)('of %s gets the server, and keeps all that it has', (client) => {
    const config = clientConfig(client, command, 'linux');
    const before = JSON.stringify({ theme: 'dark', [config.key]: { other: { url: 'x' } } });
    const once = withServer(before, 'workcell', config);
    expect(JSON.parse(once)).toEqual({
      theme: 'dark',
      [config.key]: { other: { url: 'x' }, workcell: expect.objectContaining({ command: 'node', args: command.args }) },
    });
    expect(withServer(once, 'workcell', config)).toBe(once);
  });

  it.each([undefined, '', ' \n'])('is made where there is none: %j', (text) => {
    const config = clientConfig('cursor', command, 'linux');
    expect(JSON.parse(withServer(text, 'workcell', config))).toEqual({ mcpServers: { workcell: config.entry } });
  });

  it.each(['{', '[]', 'null', '{"mcpServers": []}', '{ // a comment\n}'])(
    'is left alone when it is broken: %s',
    (text) => {
      const config = clientConfig('cursor', command, 'linux');
      expect(() => withServer(text, 'workcell', config)).toThrow(/\.cursor\/mcp\.json/);
    },
  );

  it('of Claude Desktop lies where each system keeps it', () => {
    const paths = (['linux', 'darwin', 'win32'] as const).map(
      (system) => clientConfig('claude-desktop', command, system).path,
    );
    expect(new Set(paths).size).toBe(3);
    for (const path of paths) expect(path).toMatch(/^~\/.*claude_desktop_config\.json$/);
  });

  it.each([
    ['claude-code', { type: 'http', headers: { Authorization: bearer('WORKCELL_API_KEY') } }],
    ['cursor', { headers: { Authorization: bearer('env:WORKCELL_API_KEY') } }],
    ['vscode', { type: 'http', headers: { Authorization: bearer('input:workcell-key') } }],
  ] as const)('of %s reaches a server that runs, without its key', (client, entry) => {
    const config = clientConfig(client, remote, 'linux');
    const text = withServer(undefined, 'workcell', config);
    expect(JSON.parse(text)).toMatchObject({ [config.key]: { workcell: { url: remote.url, ...entry } } });
    expect(withServer(text, 'workcell', config)).toBe(text);
  });

  it('of VS Code keeps what else it asks for', () => {
    const config = clientConfig('vscode', remote, 'linux');
    const other = { id: 'other', type: 'promptString' };
    const { inputs } = JSON.parse(withServer(JSON.stringify({ inputs: [other] }), 'workcell', config));
    expect(inputs).toEqual([other, expect.objectContaining({ id: 'workcell-key', password: true })]);
    expect(() => withServer('{"inputs":{}}', 'workcell', config)).toThrow('"inputs" of .vscode/mcp.json is not a list');
  });

  it('of Claude Desktop knows only servers that it starts', () => {
    expect(() => clientConfig('claude-desktop', remote, 'linux')).toThrow(/Connectors/);
  });
});
