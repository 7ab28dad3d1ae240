import { describe, expect, test } from 'vitest';
import { PATH_LIMITS, parseRelativePath } from '../../../src/util/path-gate.ts';

describe('parseRelativePath()', () => {
  test.each([
    ['', []],
    ['.', []],
    ['a', ['a']],
    ['a/b.txt', ['a', 'b.txt']],
    ['...', ['...']],
    ['..a/b..', ['..a', 'b..']],
    ['line\nbreak', ['line\nbreak']],
    ['back\\slash', ['back\\slash']],
    ['ünïcödé 🦀', ['ünïcödé 🦀']],
  ])('splits %j', (path, names) => {
    expect(parseRelativePath(path)).toEqual(names);
  });

  test.each([
    '/',
    '/etc/passwd',
    '..',
    '../x',
    'a/../b',
    'a/..',
    './a',
    'a/.',
    'a//b',
    'a/',
    'a\0b',
    '\0',
    'lone \ud800 surrogate',
  ])('refuses %j', (path) => {
    expect(() => parseRelativePath(path)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  });

  test('takes a name of the longest length and refuses one byte more', () => {
    const longest = `${'é'.repeat(127)}a`;
    expect(parseRelativePath(longest)).toEqual([longest]);
    expect(() => parseRelativePath(`${longest}a`)).toThrow(`longer than ${PATH_LIMITS.nameBytes} bytes`);
  });

  test('takes as many names as allowed and refuses one more', () => {
    const deepest = Array.from({ length: PATH_LIMITS.depth }, () => 'a');
    expect(parseRelativePath(deepest.join('/'))).toHaveLength(PATH_LIMITS.depth);
    expect(() => parseRelativePath([...deepest, 'a'].join('/'))).toThrow(`more than ${PATH_LIMITS.depth} names`);
  });

  test('takes a path of the longest length and refuses one byte more', () => {
    const name = 'a'.repeat(255);
    const longest = Array.from({ length: 16 }, () => name).join('/');
    expect(longest).toHaveLength(PATH_LIMITS.pathBytes);
    expect(parseRelativePath(longest)).toHaveLength(16);
    expect(() => parseRelativePath(`${longest.slice(0, -1)}/b`)).toThrow(`longer than ${PATH_LIMITS.pathBytes} bytes`);
  });
});
