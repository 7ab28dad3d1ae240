import { expect, it } from 'vitest';
import { notesOf, schemaHtml } from '../../../src/http/schema-html.ts';

it.each([
  [{ type: 'string' }, 'string'],
  [{ type: ['string', 'null'] }, 'string | null'],
  [{ const: 'a"b' }, '&#34;a&#34;b&#34;'.replace('a&#34;', 'a\\&#34;')],
  [{ enum: [1, 'x'] }, '1 | &#34;x&#34;'],
  [{ $ref: '#/components/schemas/Problem' }, '<a href="#schema-Problem">Problem</a>'],
  [{ type: 'array', items: { anyOf: [{ type: 'string' }, { type: 'integer' }] } }, '(string | integer)[]'],
  [{ type: 'object', additionalProperties: { type: 'number' } }, '{\n  [name]: number\n}'],
  [
    {
      type: 'object',
      properties: { a: { type: 'integer', minimum: 1, description: 'One & more' }, '<b>': {} },
      required: ['a'],
    },
    '{\n  a: integer <i>// One &#38; more; at least 1</i>\n  &#60;b&#62;?: any JSON\n}',
  ],
])('shows %j as people read it', (schema, html) => {
  expect(schemaHtml(schema)).toBe(html);
});

it('tells limits and defaults, and not those that every number has', () => {
  const integer = { type: 'integer', minimum: -Number.MAX_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER };
  expect(notesOf(integer)).toBe('');
  expect(notesOf({ ...integer, minimum: 0, maximum: 9, default: 3 })).toBe('at least 0; at most 9; default 3');
});
