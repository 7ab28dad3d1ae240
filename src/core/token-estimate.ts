/** Words, digits by threes, runs of signs, line breaks, and letters without case such as Chinese ones. */
const PIECE = /\p{Lu}?\p{Ll}+|\p{Lu}+(?!\p{Ll})|\p{N}{1,3}|[^\s\p{L}\p{N}]+|\n+|\p{L}/gu;
const LETTER = /\p{L}/u;
const SIGN = /[^\s\p{L}\p{N}]/u;

/** Longer words, and longer runs of signs, take more than one token. */
const WORD_LETTERS = 12;
const SIGNS = 4;

/**
 * About how many tokens a model reads `text` as. Against the tokenizer o200k it is within 8 % for a lot of English, JSON or
 * TypeScript, and within 15 % for one text of a hundred tokens; a quarter of the characters is 15 to 50 % too much.
 */
export function estimateTokens(text: string): number {
  let tokens = 0;
  for (const [piece] of text.matchAll(PIECE)) {
    if (LETTER.test(piece)) tokens += Math.ceil(piece.length / WORD_LETTERS);
    else if (SIGN.test(piece)) tokens += Math.ceil(piece.length / SIGNS);
    else tokens += 1;
  }
  return tokens;
}
