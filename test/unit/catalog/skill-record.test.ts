import { describe, expect, test } from 'vitest';
import { parseSkillRecord, renderSkillRecord, skillRecord, staleTools } from '../../../src/catalog/skill-record.ts';
import type { ToolDescriptor } from '../../../src/core/tool.ts';

function tool(name: string, changes: Partial<ToolDescriptor> = {}): ToolDescriptor {
  const rest = { identifier: name, description: 'Does it', inputSchema: { type: 'object', properties: {} } };
  return { kind: 'upstream', server: 'memory', tool: name, ...rest, ...changes };
}

const record = skillRecord('exe_1', [tool('read'), tool('write')], new Date(0));

describe('staleTools()', () => {
  test.each<[string, readonly ToolDescriptor[], readonly string[]]>([
    ['nothing while all is as it was', [tool('write'), tool('read')], []],
    ['nothing of an identifier', [tool('read', { identifier: 'read2' }), tool('write')], []],
    [
      'nothing of the order of keys',
      [tool('read', { inputSchema: { properties: {}, type: 'object' } }), tool('write')],
      [],
    ],
    ['a changed description', [tool('read', { description: 'Does more' }), tool('write')], ['read changed']],
    ['a changed schema', [tool('read', { inputSchema: { type: 'object' } }), tool('write')], ['read changed']],
    ['a schema for the output', [tool('read', { outputSchema: {} }), tool('write')], ['read changed']],
    ['a tool that is gone', [tool('read')], ['write gone']],
    ['a tool of the same name elsewhere', [tool('read'), tool('write', { server: 'other' })], ['write gone']],
    ['all of them', [], ['read gone', 'write gone']],
  ])('tells %s', (_, known, stale) => {
    expect(staleTools(record, known).map(({ tool: name, change }) => `${name} ${change}`)).toEqual(stale);
  });
});

describe('renderSkillRecord()', () => {
  test.each([2_000, 2_001])('writes no more tools than are read back: %i', (count) => {
    const many = { ...record, tools: Array(count).fill(record.tools[0]) };
    if (count === 2_000) expect(parseSkillRecord(renderSkillRecord(many)).tools).toHaveLength(count);
    else expect(() => renderSkillRecord(many)).toThrow(expect.objectContaining({ code: 'invalid_state' }));
  });
});

describe('parseSkillRecord()', () => {
  test('reads a record back', () => {
    expect(parseSkillRecord(renderSkillRecord(record))).toEqual(record);
    expect(record).toMatchObject({ v: 1, execution: 'exe_1', savedAt: '1970-01-01T00:00:00.000Z' });
  });

  test.each([
    '',
    'null',
    '[]',
    '{}',
    '{"v":2}',
    JSON.stringify({ ...record, tools: [{ server: 'memory', tool: 'read' }] }),
    JSON.stringify({ ...record, tools: [{ server: 'memory', tool: 'x'.repeat(1_001), schemaHash: 'a' }] }),
    JSON.stringify({ ...record, tools: Array(2_001).fill(record.tools[0]) }),
    JSON.stringify({ ...record, execution: 7 }),
    '['.repeat(100_000),
  ])('refuses %.40s', (text) => {
    expect(() => parseSkillRecord(text)).toThrow(
      expect.objectContaining({
        code: 'invalid_state',
        message: expect.stringMatching(/^Cannot read workcell.json: /),
      }),
    );
  });
});
