import { describe, expect, it } from 'vitest';
import type { ToolDescriptor } from '../../../src/core/tool.ts';
import { directNames } from '../../../src/mcp/direct-names.ts';

const HASHED = /_[0-9a-f]{8}$/;

function tool(server: string, name: string): ToolDescriptor {
  return { kind: 'upstream', server, tool: name, identifier: 'x', description: '', inputSchema: true };
}

function namesOf(...tools: readonly (readonly [string, string])[]): readonly string[] {
  return [...directNames(tools.map(([server, name]) => tool(server, name))).keys()];
}

describe('the names under which tools are offered directly', () => {
  it('are the server, two underscores and the tool, sorted', () => {
    expect(namesOf(['b', 'x'], ['a', 'get-it'], ['a', 'Get.it_2'])).toEqual(['a__Get.it_2', 'a__get-it', 'b__x']);
  });

  it('hold no character that the protocol does not allow', () => {
    const [name = ''] = namesOf(['a', 'größe/in m²']);
    expect(name).toMatch(/^a__gr__e_in_m_/);
    expect(name).toMatch(HASHED);
  });

  it.each([
    [124, 127],
    [125, 128],
    [126, 128],
  ])('have at most 128 characters: a tool of %i makes %i', (length, expected) => {
    const [name = ''] = namesOf(['a', 'x'.repeat(length)]);
    expect(name).toHaveLength(expected);
    expect(HASHED.test(name)).toBe(length > 125);
  });

  it('are each of one tool, and stay its own whatever comes and goes', () => {
    const clashing = [
      ['a', 'b__c'],
      ['a__b', 'c'],
    ] as const;
    const [first, second] = namesOf(...clashing);
    expect(first).not.toBe(second);
    for (const name of [first, second]) expect(name).toMatch(/^a__b__c_[0-9a-f]{8}$/);
    expect(namesOf(...[...clashing].reverse())).toEqual([first, second]);

    const long = 'x'.repeat(130);
    const names = namesOf(['a', `${long}1`], ['a', `${long}2`], ['a', 'x y'], ['a', 'x_y']);
    expect(new Set(names).size).toBe(4);
  });
});
