import { describe, expect, it } from 'vitest';
import { clip } from '../../../src/mcp/clip.ts';

describe('clip()', () => {
  it('leaves a text alone up to the limit', () => {
    expect(clip('x'.repeat(100), 100)).toEqual({ text: 'x'.repeat(100), isWhole: true });
  });

  it('keeps the beginning and the end of a longer one, and says how much is between them', () => {
    const { text, isWhole } = clip(`${'a'.repeat(60)}!${'b'.repeat(40)}`, 100);
    expect({ text, isWhole }).toEqual({
      text: `${'a'.repeat(60)}\n[… 1 characters left out …]\n${'b'.repeat(40)}`,
      isWhole: false,
    });
  });

  it.each([99, 100, 101, 102, 103])('cuts no character in half at %i', (most) => {
    const { text } = clip('😀'.repeat(200), most);
    expect(text).toBe(text.toWellFormed());
  });
});
