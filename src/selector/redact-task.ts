import { splitIdentifier } from './tokenize.ts';

/** Characters of a remembered task: what it is about is said at its beginning. */
const MAX_LENGTH = 240;

/**
 * What of a task is kept to recognise similar ones: its plain words. Left out are quoted values, addresses, paths, whatever
 * holds a digit, what follows the word for a secret, and what looks random. `''` when nothing is left.
 */
export function redactTask(task: string): string {
  const bare = VALUES.reduce((text, value) => text.replace(value, '$1 '), task.slice(0, 16 * MAX_LENGTH));
  const words = bare.split(/\s+/).filter((word) => word !== '' && !isOdd(word));
  return cut(words.join(' '));
}

/** Each keeps its first group, when it has one. */
const VALUES = [
  /()(?:"[^"]*"|“[^”]*”|«[^»]*»|`[^`]*`|(?<!\w)'[^']*'(?!\w))/g,
  /\b(pass(?:word|phrase|code)|secret|token|pin|pwd|credentials?|(?:api|access|private)[ _-]?key)\b\s*(?:is|are|[:=])\s*\S+/gi,
  /()\b[a-z][a-z0-9+.-]*:\/\/\S+/gi,
  /()\S+@\S+/g,
  /()(?:~|\.{1,2}|\b[a-z]:)?[/\\]\S+/gi,
  /()\b(?:\w+\.)+(?:com|org|net|io|dev|ai|app|edu|gov)\b\S*/gi,
] as const;

const LONGEST_WORD = 24;

/** Ids, numbers, keys: with a digit, longer than words are, or of many pieces as `rOBhSVKGVKe` is. */
function isOdd(word: string): boolean {
  const pieces = splitIdentifier(word).length;
  const isRandom = pieces > 2 && word.length < 3 * pieces;
  return /\p{N}/u.test(word) || word.length > LONGEST_WORD || isRandom;
}

function cut(text: string): string {
  return text.length <= MAX_LENGTH ? text : text.slice(0, text.lastIndexOf(' ', MAX_LENGTH));
}
