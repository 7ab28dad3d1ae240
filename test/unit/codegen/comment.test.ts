import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { docComment, quote } from '../../../src/codegen/comment.ts';

describe('docComment()', () => {
  test('puts one line on one line, and paragraphs on lines of their own', () => {
    expect(docComment(['Reads.'])).toBe('/** Reads. */\n');
    expect(docComment(['Reads.', '', 'Default: 3'], '  ')).toBe('  /**\n   * Reads.\n   *\n   * Default: 3\n   */\n');
    expect(docComment(['', ' \n '])).toBe('');
  });

  test.each(['*/ process.exit() /*', 'a\n*/\nb', '*\u200b/', '/** */', '\u2028*/', '*\r/', '*', '/'])(
    'cannot be left by %j',
    (text) => {
      const comment = docComment([text]);
      expect(comment.indexOf('*/')).toBe(comment.length - 3);
      expect(comment.endsWith('*/\n')).toBe(true);
    },
  );

  test('takes the power from compiler directives, and direction and control characters out', () => {
    expect(docComment(['@ts-ignore @TS-nocheck @ts-expect-error'])).not.toMatch(/@ts-/i);
    expect(docComment(['a\u202eb\u0000c\u001b[31md\u2066e\tf'])).toBe('/** abc[31mde  f */\n');
  });
});

describe('quote()', () => {
  test.each([
    "it's",
    'say "hi"',
    'back\\slash',
    "\\'",
    '\\"',
    'new\nline\r',
    '\u2028\u2029',
    '\u202eevil',
    `\${x}\``,
    '\ud800',
    '😀',
    '\u{e0001}',
    '',
  ])('gives a literal whose value is %j', (text) => {
    const literal = quote(text);
    expect(literal).toMatch(/^'[\P{C}]*'$/u);
    expect(runInNewContext(literal)).toBe(text);
  });
});
