import { tokenize } from './tokenize.ts';
import { synonymsOf } from './vocabulary.ts';

/** One term that a query looks for. */
export interface QueryTerm {
  readonly term: string;
  /** How to name the term to a reader. */
  readonly word: string;
  /** The query's word that this term stands in for. */
  readonly synonymOf?: string;
  /** One bit for each sentence that it is in. */
  readonly sentences: number;
}

export interface ParsedQuery {
  /** The query's own words, then synonyms that the index knows; none twice. */
  readonly terms: readonly QueryTerm[];
  readonly sentences: number;
}

/** Sentences that are told apart; those after them count as one with the last. */
const MAX_SENTENCES = 12;
/** Shorter ones say nothing by themselves (`Thank you very much.`) and go with their neighbour. */
const MIN_SENTENCE_TOKENS = 4;
const SENTENCE_END = /[.?!;](?=\s|$)/;

/** Values inside a request are arguments: they say nothing about the tool. */
const QUOTED = /"[^"]*"|“[^”]*”|`[^`]*`|(?<!\w)'[^']*'(?!\w)/g;
const NUMBER = /^\p{N}+$/u;
/** A calculation, told from dates and ranges by its spaces or by an operator that those do not use. */
const CALCULATION = /[\d)]\s*[+*×÷^]\s*[\d(]|[\d)]\s+[-−/%]\s+[\d(]/;
/** What is one when nothing else is asked for: `What is 10/4?` */
const BARE_CALCULATION = /[\d)]\s*[-−/%]\s*[\d(]/;

/** Operators in words, which mean one only between two numbers. */
const SPOKEN_OPERATOR = /(?<=[\d)]\s*)\b(plus|minus|times)\b(?=\s*[-(\d])/gi;
const VERBS: Readonly<Record<string, string>> = { plus: 'add', minus: 'subtract', times: 'multiply' };

/** What to look for. A term that `isKnown` denies is kept when it is a word of the query, since it was asked for. */
export function parseQuery(query: string, isKnown: (term: string) => boolean): ParsedQuery {
  const sentences = sentencesOf(intentOf(query));
  const terms = new Map<string, QueryTerm>();
  for (const [place, sentence] of sentences.entries()) {
    for (const { word, term, compound } of tokenize(sentence)) {
      if (NUMBER.test(term) || (compound && !isKnown(term))) continue;
      const before = terms.get(term)?.sentences ?? 0;
      terms.set(term, { term, word, sentences: before | (1 << place) });
    }
  }
  for (const { term, word, sentences: where } of [...terms.values()]) {
    for (const synonym of synonymsOf(term)) {
      if (terms.has(synonym.term) || !isKnown(synonym.term)) continue;
      terms.set(synonym.term, { ...synonym, synonymOf: word, sentences: where });
    }
  }
  return { terms: [...terms.values()], sentences: sentences.length };
}

function sentencesOf(text: string): string[] {
  const sentences: { text: string; tokens: number }[] = [];
  for (const part of text.split(SENTENCE_END)) {
    const tokens = tokenize(part).length;
    const last = sentences.at(-1);
    const isShort = tokens < MIN_SENTENCE_TOKENS || (last !== undefined && last.tokens < MIN_SENTENCE_TOKENS);
    if (last === undefined || (!isShort && sentences.length < MAX_SENTENCES)) sentences.push({ text: part, tokens });
    else sentences[sentences.length - 1] = { text: `${last.text}. ${part}`, tokens: last.tokens + tokens };
  }
  return sentences.map((sentence) => sentence.text);
}

/** The query without quoted values, and with words for the arithmetic that it spells in symbols. */
function intentOf(query: string): string {
  const bare = query.replace(QUOTED, ' ');
  const text = tokenize(bare).length === 0 ? query : bare;
  const spelled = text.replace(SPOKEN_OPERATOR, (operator) => VERBS[operator.toLowerCase()] ?? operator);
  return isCalculation(text) ? `${spelled} arithmetic expression` : spelled;
}

function isCalculation(text: string): boolean {
  if (CALCULATION.test(text)) return true;
  return BARE_CALCULATION.test(text) && tokenize(text).every(({ term }) => NUMBER.test(term));
}
