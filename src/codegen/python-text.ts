import { PYTHON_KEYWORDS } from '../core/python-package.ts';
import { commentText, NOT_PRINTABLE } from './comment.ts';

// Generated files hold text that upstream servers wrote. What is here keeps it text, as comment.ts does for TypeScript.

/** `text` as a Python string literal in single quotes, on one line. */
export function pythonString(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
  return `'${escaped.replace(NOT_PRINTABLE, escapeCharacter)}'`;
}

/** A docstring with these paragraphs, indented; empty ones are left out, and nothing is left of none. */
export function docstring(paragraphs: readonly string[], indent: string): string {
  const text = paragraphText(paragraphs);
  if (text === '') return '';
  // A quote at the end, or three of them, would end it.
  const plain = text.replaceAll('\\', '\\\\');
  const escaped = plain.includes('"""') || plain.endsWith('"') ? plain.replaceAll('"', '\\"') : plain;
  const lines = escaped.split('\n').map((line, index) => (index === 0 || line === '' ? line : indent + line));
  return `${indent}"""${lines.join('\n')}${lines.length === 1 ? '' : `\n${indent}`}"""\n`;
}

/** Comment lines. They begin with `#:`, so that none is taken for a directive such as `type: ignore`. */
export function pythonComment(paragraphs: readonly string[], indent: string): string {
  const text = paragraphText(paragraphs);
  if (text === '') return '';
  return text
    .split('\n')
    .map((line) => `${indent}#: ${line}`.trimEnd())
    .join('\n')
    .concat('\n');
}

/** Whether a parameter or a key of a class can have the name as it is: names are not changed by Python, and no keyword. */
export function isPythonName(name: string): boolean {
  return /^(?!__)[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !PYTHON_KEYWORDS.has(name);
}

function paragraphText(paragraphs: readonly string[]): string {
  return paragraphs
    .map(commentText)
    .filter((text) => text !== '')
    .join('\n\n');
}

function escapeCharacter(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code > 0xffff) return `\\U${code.toString(16).padStart(8, '0')}`;
  return code > 0xff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\x${code.toString(16).padStart(2, '0')}`;
}
