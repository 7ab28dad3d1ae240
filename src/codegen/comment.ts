// Generated files hold text that upstream servers wrote. What is here keeps it text: it cannot end the comment or the
// string that it stands in, give instructions to the compiler, or look different from what it is.

/** A doc comment with these paragraphs, indented; empty ones are left out, and nothing is left of none. */
export function docComment(paragraphs: readonly string[], indent = ''): string {
  const lines = paragraphs
    .map((text) =>
      commentText(text)
        .replaceAll('*/', '*\\/')
        .replace(/@(?=ts-)/gi, '@ '),
    )
    .filter((text) => text !== '')
    .join('\n\n')
    .split('\n');
  if (lines.length === 1 && lines[0] === '') return '';
  if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`;
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}`.trimEnd()).join('\n')}\n${indent} */\n`;
}

/** `text` as a string literal in single quotes. */
export function quote(text: string): string {
  const escaped = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'");
  return `'${escaped.replace(NOT_PRINTABLE, escapeCharacter)}'`;
}

/** Control, format (such as those that reverse the direction of text) and separator characters, and lone surrogates. */
export const NOT_PRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Lines of printable characters, without those that are empty in a row. */
export function commentText(text: string): string {
  return text
    .replace(/\r\n?|[\u2028\u2029]/g, '\n')
    .replace(NOT_PRINTABLE, (character) => (character === '\n' ? '\n' : character === '\t' ? '  ' : ''))
    .replace(/\n{3,}/g, '\n\n')
    .trim();
}

function escapeCharacter(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
