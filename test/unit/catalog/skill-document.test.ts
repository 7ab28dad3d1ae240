import { describe, expect, test } from 'vitest';
import { parseSkillDocument, renderSkillDocument, toDescription } from '../../../src/catalog/skill-document.ts';

const read = (frontMatter: string, body = '') => parseSkillDocument(`---\n${frontMatter}\n---\n${body}`, 'tidy');
const plain = 'name: tidy\ndescription: Tidies up';

describe('parseSkillDocument()', () => {
  test('reads what the specification allows', () => {
    const all = `${plain}\nlicense: MIT\ncompatibility: needs git\nallowed-tools: Read Bash(git:*)\nmetadata:\n  author: Ann\n  version: 1.0`;
    expect(read(all, '\n# Tidy\n')).toEqual({
      name: 'tidy',
      description: 'Tidies up',
      license: 'MIT',
      compatibility: 'needs git',
      allowedTools: 'Read Bash(git:*)',
      metadata: { author: 'Ann', version: '1.0' },
      body: '# Tidy',
    });
  });

  test.each([
    ['with Windows line ends', '---\r\nname: tidy\r\ndescription: Tidies up\r\n---\r\nDo it', 'Do it'],
    ['with a byte order mark', '\uFEFF---\nname: tidy\ndescription: Tidies up\n---\nDo it', 'Do it'],
    ['without a body', '---\nname: tidy\ndescription: Tidies up\n---', ''],
    ['with fields of others', `---\n${plain}\nmodel: big\nhooks: [a, b]\n---\nDo it`, 'Do it'],
    ['with lines of dashes in its body', `---\n${plain}\n---\nDo\n---\nit`, 'Do\n---\nit'],
  ])('reads one %s', (_, text, body) => {
    expect(parseSkillDocument(text, 'tidy')).toEqual({ name: 'tidy', description: 'Tidies up', body });
  });

  test.each([
    ['a word of YAML', 'description: yes', 'yes'],
    ['a number', 'description: 1.0', '1.0'],
    ['several lines', 'description: >\n  Tidies\n  up', 'Tidies up'],
    ['what steers a terminal', 'description: "\\e]0;x\\aTidies\\u202e \\u200bup"', ']0;xTidies up'],
    ['what a tag would run', 'description: !!js/function "Tidies up"', 'Tidies up'],
    ['1,024 characters beyond the first plane', `description: ${'😀'.repeat(1024)}`, '😀'.repeat(1024)],
  ])('takes %s for a text', (_, yaml, description) => {
    expect(read(`name: tidy\n${yaml}`).description).toBe(description);
  });

  test('makes no prototype of a key', () => {
    const { metadata } = read(`${plain}\nmetadata:\n  __proto__: x\n  constructor: y`);
    expect(Object.getPrototypeOf(metadata)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  test.each([
    ['no front matter', '# Tidy', /does not begin with front matter/],
    ['front matter without an end', `---\n${plain}\n`, /does not begin with front matter/],
    ['front matter below something', `\n---\n${plain}\n---\n`, /does not begin with front matter/],
    ['no name', '---\ndescription: x\n---\n', /name is not a text/],
    ['no description', '---\nname: tidy\n---\n', /description is not a text/],
    ['an empty description', '---\nname: tidy\ndescription: ""\n---\n', /description is empty/],
    [
      'a description of nothing that shows',
      '---\nname: tidy\ndescription: "\\u200b \\n"\n---\n',
      /description is empty/,
    ],
    ['1,025 characters', `---\nname: tidy\ndescription: ${'x'.repeat(1025)}\n---\n`, /longer than 1024 characters/],
    ['another name', '---\nname: other\ndescription: x\n---\n', /names itself "other"/],
    ['a path for a name', '---\nname: ../tidy\ndescription: x\n---\n', /the name "..\/tidy" is not a name of a skill/],
    ['a list', '---\n- a\n---\n', /not a map/],
    ['nothing', '---\n\n---\n', /not a map/],
    ['a list for a description', '---\nname: tidy\ndescription: [a]\n---\n', /description is not a text/],
    ['a map in its metadata', `---\n${plain}\nmetadata: {a: {b: c}}\n---\n`, /metadata.a is not a text/],
    ['501 characters of compatibility', `---\n${plain}\ncompatibility: ${'x'.repeat(501)}\n---\n`, /longer than 500/],
    ['a key twice', `---\n${plain}\nname: tidy\n---\n`, /not YAML: Map keys must be unique/],
    ['an alias', '---\nname: tidy\ndescription: &a x\nlicense: *a\n---\n', /not YAML: Alias resolution is disabled/],
    ['a tab for indentation', `---\n${plain}\nmetadata:\n\ta: b\n---\n`, /not YAML/],
    ['front matter over 8 KiB', `---\n${plain}\nlicense: ${'x'.repeat(8 * 1024)}\n---\n`, /over 8192 bytes/],
    ['101 brackets', `---\n${plain}\nmetadata: ${'['.repeat(101)}\n---\n`, /full of brackets/],
    ['4,000 lists in one another', `---\n${'- '.repeat(4000)}\n---\n`, /not YAML|not a map/],
  ])('refuses %s', (_, text, reason) => {
    const thrown = expect.objectContaining({ code: 'invalid_state', message: expect.stringMatching(reason) });
    expect(() => parseSkillDocument(text, 'tidy')).toThrow(thrown);
  });

  test('tells what a parser of YAML says without what steers a terminal', () => {
    expect(() => read('name: tidy\n"\u001b[31m": a\n"\u001b[31m": b')).toThrow(expect.not.stringContaining('\u001b'));
  });
});

describe('renderSkillDocument()', () => {
  test.each([
    'Splits a bill',
    'a: b # c',
    '--- \n---\nname: other\n',
    '"quoted" and \'quoted\' and \\',
    '- [x] {y} *z &a !b %c @d `e`',
    '{{ template }} <script>',
    'null',
    '😀 ä 漢字',
    'x'.repeat(1024),
  ])('is read back as it was: %j', (description) => {
    const text = renderSkillDocument({ name: 'tidy', description, body: '# Tidy\n\n---\n' });
    expect(parseSkillDocument(text, 'tidy')).toEqual({
      name: 'tidy',
      description: description.replace(/\s+/g, ' ').trim(),
      body: '# Tidy\n\n---',
    });
  });

  test.each(['no', 'null', '123', '1e3', '0x1f', 'true'])(
    'keeps the name %s a text for every reader of YAML',
    (name) => {
      expect(renderSkillDocument({ name, description: 'x', body: '' })).toContain(`\nname: "${name}"\n`);
    },
  );

  test.each(['', ' \n ', '\u200b', 'x'.repeat(1025)])('refuses the description %j', (description) => {
    expect(() => renderSkillDocument({ name: 'tidy', description, body: '' })).toThrow(
      expect.objectContaining({ code: 'invalid_argument', message: expect.stringMatching(/^The description is /) }),
    );
  });
});

describe('toDescription()', () => {
  test.each([
    ['Split\n  a bill\u0007 ', 'Split a bill'],
    ['😀'.repeat(1024), '😀'.repeat(1024)],
    ['😀'.repeat(1025), `${'😀'.repeat(1023)}…`],
  ])('makes one line of at most 1,024 characters', (text, description) => {
    expect(toDescription(text)).toBe(description);
  });
});
