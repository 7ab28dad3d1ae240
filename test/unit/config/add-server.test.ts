import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { withMcpServer } from '../../../src/config/add-server.ts';

const entry = { command: 'npx', args: ['-y', 'a b', '#'], env: { TOKEN: `$\{TOKEN}` } };

describe('a server is added', () => {
  it.each([
    ['', 'mcpServers:\n  new:\n'],
    ['log: {level: warn}', 'log: {level: warn}\nmcpServers:\n  new:\n'],
    ['mcpServers:\nlog: {level: warn}\n', 'mcpServers:\n  new:\n'],
    ['mcpServers: # none\nlog:\n  level: warn\n', 'mcpServers: # none\n  new:\n'],
    ['mcpServers: {} # none\nlog:\n  level: warn\n', 'mcpServers: # none\n  new:\n'],
    ['mcpServers:\n    a: # why\n        url: x # end\n\n# next\nlog: {}\n', 'url: x # end\n    new:\n'],
    ['mcpServers:\n  a:\n    command: x\n    args:\n      - y', '      - y\n  new:\n'],
    ['mcpServers:\n  a: {url: x}\n  # b:\n  #   url: y\n\nlog: {}\n', 'a: {url: x}\n  new:\n'],
  ])('to %j', (text, expected) => {
    const added = withMcpServer(text, 'new', entry);
    expect(added).toContain(expected);
    const { mcpServers, ...rest } = parse(added);
    const { mcpServers: before, ...restBefore } = parse(text) ?? {};
    expect(mcpServers).toEqual({ ...before, new: entry });
    expect(rest).toEqual(restBefore);
  });

  it("to this project's own configuration, of which every line stays", () => {
    const text = readFileSync(new URL('../../../config.yaml', import.meta.url), 'utf8');
    const added = withMcpServer(text, 'new', { url: 'https://mcp.example.com/mcp' });
    expect(added.replace(/ {2}new:\n {4}url: .*\n/, '')).toBe(text);
  });

  it('once under each name', () => {
    const once = withMcpServer('', 'new', entry);
    expect(() => withMcpServer(once, 'new', entry)).toThrow(/already; change it in the file/);
  });

  it.each(['a: [', '[]', '{"mcpServers": {}}', '{}', 'mcpServers: {a: {url: x}}\n', 'mcpServers: 7\n'])(
    'to nothing that cannot be read: %j',
    (text) => {
      expect(() => withMcpServer(text, 'new', entry)).toThrow(/cannot be added/);
    },
  );
});
