import { describe, expect, it } from 'vitest';
import { callResultSchema, resultFailure, resultValue, shortened } from '../../../src/upstream/tool-result.ts';

const text = (value: string) => ({ type: 'text', text: value });
const image = { type: 'image', data: 'AAAA', mimeType: 'image/png' };
const valueOfResult = (result: unknown) => resultValue(callResultSchema.parse(result));

describe('resultValue', () => {
  it.each([
    ['structured content before text', { structuredContent: { a: 1 }, content: [text('{"a":2}')] }, { a: 1 }],
    ['structured content that is null', { structuredContent: null, content: [text('x')] }, null],
    ['structured content that is a list', { structuredContent: [1], content: [] }, [1]],
    ['the object that a text holds as JSON', { content: [text(' {"a": [1]} ')] }, { a: [1] }],
    ['the list that a text holds as JSON', { content: [text('[1, 2]')] }, [1, 2]],
    ['a text that only begins like JSON', { content: [text('{not json')] }, '{not json'],
    ['a bare number as text', { content: [text('42')] }, '42'],
    ['a bare word as text', { content: [text('true')] }, 'true'],
    ['an empty text', { content: [text('')] }, ''],
    ['several texts as blocks', { content: [text('{"a":1}'), text('b')] }, [text('{"a":1}'), text('b')]],
    ['an image as blocks', { content: [image] }, [image]],
    [
      'an unknown kind of block as blocks',
      { content: [{ type: 'hologram', depth: 3 }] },
      [{ type: 'hologram', depth: 3 }],
    ],
    ['nothing as null', { content: [] }, null],
    ['a result without content as null', {}, null],
  ])('gives %s', (_what, result, value) => {
    expect(valueOfResult(result)).toEqual(value);
  });
});

describe('resultFailure', () => {
  const failureOf = (content: unknown[]) => resultFailure(callResultSchema.parse({ isError: true, content }));

  it('says what the tool said', () => {
    expect(failureOf([text('no such file: a'), text('try b')])).toEqual({
      code: 'tool_failed',
      message: 'no such file: a\ntry b',
    });
  });

  it('says so when the tool said nothing', () => {
    expect(failureOf([image]).message).toBe('The tool reported an error and did not say which');
  });
});

describe('shortened', () => {
  it.each([
    [9, 'xxxxxxxxx'],
    [10, 'xxxxxxxxxx'],
    [11, 'xxxxxxxxxx… (1 more characters)'],
  ])('keeps 10 of %i characters and counts the rest', (length, result) => {
    expect(shortened('x'.repeat(length), 10)).toBe(result);
  });
});
