import { describe, expect, it } from 'vitest';
import { clientConfig, MCP_CLIENTS, withServer } from '../../../src/mcp/client-config.ts';

const command = { command: 'node', args: ['main.js', 'mcp'] };

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
});
