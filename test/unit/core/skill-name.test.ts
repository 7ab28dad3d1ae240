import { describe, expect, test } from 'vitest';
import { assertSkillName, skillNameProblem } from '../../../src/core/skill-name.ts';

describe('skillNameProblem()', () => {
  test.each(['a', '7', 'split-bill', 'a-b-c-1', '3d-print', 'x'.repeat(64)])('allows %j', (name) => {
    expect(skillNameProblem(name)).toBeUndefined();
  });

  test.each([
    '',
    '-',
    '-a',
    'a-',
    'a--b',
    'A',
    'split_bill',
    'split bill',
    'ä',
    'a.b',
    '.',
    '..',
    '../a',
    'a/b',
    'a\n',
    'a\0',
    'a\u202e',
    'constructor\u200b',
    'x'.repeat(65),
    `${'a-'.repeat(32)}a`,
  ])('refuses %j', (name) => {
    expect(skillNameProblem(name)).toMatch(/^is not a name of a skill: use 1 to 64 /);
    expect(() => assertSkillName(name)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  });
});
