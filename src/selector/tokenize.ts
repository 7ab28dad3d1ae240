import { stemmer } from 'stemmer';

/** One word of a text as it was written, and the term that the index knows it by. */
export interface Token {
  readonly word: string;
  readonly term: string;
  /** True for a whole identifier whose words are tokens of their own. */
  readonly compound: boolean;
}

/**
 * The tokens of a text, in order, repeats kept: identifiers split into their words, stop words left out, the rest
 * stemmed. An identifier of several words also gives its compound (`createEntities`: create, entiti, createentities).
 */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  for (const [identifier] of text.matchAll(IDENTIFIER)) {
    const words = splitIdentifier(identifier);
    for (const word of words) {
      if (!STOP_WORDS.has(word)) tokens.push({ word, term: stem(word), compound: false });
    }
    if (words.length > 1) tokens.push({ word: identifier, term: words.join(''), compound: true });
  }
  return tokens;
}

/** The lower-case words of an identifier in any style: `HTTPServer`, `get_user-info`, `base64`. */
export function splitIdentifier(identifier: string): string[] {
  return (identifier.match(WORD) ?? []).map((word) => word.toLowerCase());
}

/** Porter's stem of a lower-case word. */
export function stem(word: string): string {
  const known = STEMS.get(word);
  if (known !== undefined) return known;
  // Catalogs and requests repeat a small vocabulary; what else comes in must not fill the memory.
  if (STEMS.size >= MAX_STEMS) STEMS.clear();
  const found = stemmer(word);
  STEMS.set(word, found);
  return found;
}

const STEMS = new Map<string, string>();
const MAX_STEMS = 50_000;

const IDENTIFIER = /[\p{L}\p{N}]+(?:[_-][\p{L}\p{N}]+)*/gu;

/** An acronym up to the word that follows it, a word, further letters without case, or digits. */
const WORD = /\p{Lu}+(?!\p{Ll})|\p{Lu}?\p{Ll}+|\p{L}+|\p{N}+/gu;

/** Words that say nothing about which tool is meant, the phrases of a request (please, want, help) included. */
const STOP_WORDS = new Set(
  `a about all also am an and any are as at be been but by can could d did do does for from give had has have hello help
  hey hi how i if in into is it its just let like ll m may me more my need now of on or our please provide re s should
  show so some t tell than thank thanks that the their them then there these they this those to tool up us use using
  ve want was we were what when where which who will with would you your`.split(/\s+/),
);
