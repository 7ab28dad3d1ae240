import { tokenize } from './tokenize.ts';
import { synonymsOf } from './vocabulary.ts';

/** One term that a query looks for. */
export interface QueryTerm {
  readonly term: string;
  /** 1 for the query's own words, less for their synonyms. */
  readonly weight: number;
  /** How to name the term to a reader. */
  readonly word: string;
  /** The query's word that this term stands in for. */
  readonly synonymOf?: string;
}

const SYNONYM_WEIGHT = 0.35;

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

/** The terms to look for, without repeats: the query's own words, then synonyms that the index knows. */
export function queryTerms(query: string, isKnown: (term: string) => boolean): QueryTerm[] {
  const terms = new Map<string, QueryTerm>();
  for (const { word, term, compound } of tokenize(intentOf(query))) {
    if (NUMBER.test(term) || (compound && !isKnown(term))) continue;
    if (!terms.has(term)) terms.set(term, { term, weight: 1, word });
  }
  for (const { term, word } of [...terms.values()]) {
    for (const synonym of synonymsOf(term)) {
      if (terms.has(synonym.term) || !isKnown(synonym.term)) continue;
      terms.set(synonym.term, { ...synonym, weight: SYNONYM_WEIGHT, synonymOf: word });
    }
  }
  return [...terms.values()];
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
