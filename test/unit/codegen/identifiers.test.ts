import { describe, expect, test } from 'vitest';
import { assignIdentifiers, pascalCase } from '../../../src/codegen/identifiers.ts';

const identifierOf = (name: string) => assignIdentifiers([name]).get(name);

describe('assignIdentifiers()', () => {
  test.each([
    ['create_entities', 'createEntities'],
    ['createEntities', 'createEntities'],
    ['get-thing', 'getThing'],
    ['a.b', 'aB'],
    ['API_KEY', 'apiKey'],
    ['HTTPServer', 'httpServer'],
    ['base64', 'base64'],
    ['1st', 'tool1St'],
    ['class', 'class_'],
    ['await', 'await_'],
    ['fetch', 'fetch_'],
    ['then', 'then_'],
    ['index', 'index_'],
    ['callTool', 'callTool_'],
    ['__proto__', 'proto'],
  ])('calls %j %s', (name, identifier) => {
    expect(identifierOf(name)).toBe(identifier);
  });

  test.each([
    ['createEntities', 'create_entities'],
    ['create_entities', 'create_entities'],
    ['get-thing', 'get_thing'],
    ['a.b', 'a_b'],
    ['HTTPServer2', 'http_server_2'],
    ['1st', 'tool_1_st'],
    ['class', 'class_'],
    ['None', 'none'],
    ['print', 'print_'],
    ['list', 'list_'],
    ['result', 'result_'],
    ['emit', 'emit_'],
    ['callTool', 'call_tool_'],
    ['match', 'match'],
    ['__init__', 'init'],
  ])('calls %j %s in Python', (name, identifier) => {
    expect(assignIdentifiers([name], 'python').get(name)).toBe(identifier);
  });

  test('gives every name another one in Python, too', () => {
    const identifiers = [...assignIdentifiers([...CLASHING, 'get__thing', 'get-thing', 'getThing'], 'python').values()];
    expect(new Set(identifiers).size).toBe(identifiers.length);
    for (const identifier of identifiers) expect(identifier).toMatch(/^[a-z][a-z0-9_]*$/);
  });

  test('marks a name that loses letters with its hash', () => {
    expect(identifierOf('日本')).toMatch(/^tool_[0-9a-f]{8}$/);
    expect(identifierOf('')).toMatch(/^tool_[0-9a-f]{8}$/);
    expect(identifierOf('café')).toMatch(/^cafe_[0-9a-f]{8}$/);
    expect(identifierOf('日本')).not.toBe(identifierOf('中国'));
  });

  test('cuts a name of more than 64 characters and marks it', () => {
    expect(identifierOf('x'.repeat(64))).toBe('x'.repeat(64));
    expect(identifierOf('x'.repeat(65))).toMatch(/^x{64}_[0-9a-f]{8}$/);
  });

  test('of colliding names, leaves the identifier to the one that is spelled so', () => {
    const identifiers = assignIdentifiers(['get-thing', 'getThing', 'get_thing', 'other']);
    expect(identifiers.get('getThing')).toBe('getThing');
    expect(identifiers.get('get-thing')).toMatch(/^getThing_[0-9a-f]{8}$/);
    expect(identifiers.get('get_thing')).toMatch(/^getThing_[0-9a-f]{8}$/);
    expect(identifiers.get('other')).toBe('other');
  });

  test('does not give an identifier to another tool when a tool is added', () => {
    const before = assignIdentifiers(['get-thing']);
    const after = assignIdentifiers(['get-thing', 'get_thing']);
    expect(before.get('get-thing')).toBe('getThing');
    expect([...after.values()]).not.toContain('getThing');
  });

  test('does not depend on the order of the names', () => {
    const forwards = assignIdentifiers(CLASHING);
    const backwards = assignIdentifiers([...CLASHING].reverse());
    expect(new Map([...backwards].sort())).toEqual(new Map([...forwards].sort()));
  });

  test('gives every name a valid identifier, unique whatever its case and as a type name', () => {
    const identifiers = [...assignIdentifiers(CLASHING).values()];
    expect(identifiers).toHaveLength(CLASHING.length);
    for (const identifier of identifiers) expect(identifier).toMatch(/^[a-z][A-Za-z0-9_]*$/);
    expect(new Set(identifiers.map((identifier) => identifier.toLowerCase())).size).toBe(CLASHING.length);
    expect(new Set(identifiers.map(pascalCase)).size).toBe(CLASHING.length);
  });
});

const CLASHING = [
  ...['get-thing', 'get_thing', 'getThing', 'GetThing', 'GETTHING', 'getthing', 'get.thing', ' get thing '],
  ...[
    'class',
    'class_',
    'Class',
    'index',
    'Index',
    '1st',
    '1ST',
    '',
    '-',
    '_',
    '日本',
    '中国',
    'tool',
    '😀',
    'a\u0000b',
  ],
  ...['x'.repeat(300), `${'x'.repeat(300)}y`, 'constructor', 'toString', 'hasOwnProperty', 'delete', 'DELETE'],
];
