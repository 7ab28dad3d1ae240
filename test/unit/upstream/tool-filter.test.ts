import { describe, expect, it } from 'vitest';
import { isToolAllowed, unmatchedPatterns } from '../../../src/upstream/tool-filter.ts';

const TOOLS = ['read_file', 'read_graph', 'write_file', 'a.b'];
const shown = (filter: Parameters<typeof isToolAllowed>[0]) => TOOLS.filter((tool) => isToolAllowed(filter, tool));

describe('isToolAllowed', () => {
  it('shows everything without a filter, and nothing with an empty list of what is allowed', () => {
    expect(shown({})).toEqual(TOOLS);
    expect(shown({ allowedTools: [] })).toEqual([]);
  });

  it.each([
    [{ allowedTools: ['read_file'] }, ['read_file']],
    [{ allowedTools: ['read_*'] }, ['read_file', 'read_graph']],
    [{ allowedTools: ['*_file'] }, ['read_file', 'write_file']],
    [{ allowedTools: ['*e*g*'] }, ['read_graph']],
    [{ allowedTools: ['r*e'] }, ['read_file']],
    [{ allowedTools: ['read_file*read_file'] }, []],
    [{ allowedTools: ['*'] }, TOOLS],
    [{ excludeTools: ['*'] }, []],
    [{ excludeTools: ['write_*'] }, ['read_file', 'read_graph', 'a.b']],
    [{ allowedTools: ['*_file'], excludeTools: ['write_file'] }, ['read_file']],
    [{ allowedTools: ['write_file'], excludeTools: ['write_file'] }, []],
    [{ allowedTools: ['a?b', 'axb', 'READ_FILE'] }, []],
    [{ allowedTools: ['a.b'] }, ['a.b']],
  ])('%j shows %j', (filter, expected) => {
    expect(shown(filter)).toEqual(expected);
  });
});

describe('unmatchedPatterns', () => {
  it('tells what no tool has, once', () => {
    const filter = { allowedTools: ['read_*', 'raed_file'], excludeTools: ['raed_file', 'delete_*', 'a.b'] };
    expect(unmatchedPatterns(filter, TOOLS)).toEqual(['raed_file', 'delete_*']);
    expect(unmatchedPatterns({ requireApproval: ['read_file', 'dlete_*'] }, TOOLS)).toEqual(['dlete_*']);
    expect(unmatchedPatterns({ requireApproval: 'always' }, TOOLS)).toEqual([]);
    expect(unmatchedPatterns({}, TOOLS)).toEqual([]);
  });
});
