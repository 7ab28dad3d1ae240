import type { ParsedQuery, QueryTerm } from './query-terms.ts';

/** Where a term of the query was found, and what it is worth there. */
export interface Match {
  readonly term: QueryTerm;
  readonly gain: number;
  /** One bit for each searched field that holds the term. */
  readonly fields: number;
}

export interface Candidate {
  /** Orders candidates that score the same. */
  readonly name: string;
  readonly matches: readonly Match[];
  /** What the sum of the gains is multiplied with. */
  readonly bonus: number;
}

export interface Pick<C extends Candidate> {
  readonly candidate: C;
  readonly score: number;
}

/** A request of several sentences asks for several things: what a tool finds beside its best sentence counts this much. */
const OTHER_SENTENCES = 0.6;
/** What is left of a term, and of every term of a sentence, when a better tool serves it. */
const COVERED_TERM = 0.93;
const SERVED_SENTENCE = 0.8;

/** The best candidates, best first. Each pick makes what it serves count less, so that the request's other intents get their turn. */
export function pickInTurn<C extends Candidate>(
  candidates: readonly C[],
  { terms, sentences }: ParsedQuery,
  limit: number,
): Pick<C>[] {
  const left = new Map<QueryTerm, number>(terms.map((term) => [term, 1]));
  const discount = (term: QueryTerm, factor: number) => left.set(term, (left.get(term) ?? 1) * factor);
  const picks: Pick<C>[] = [];
  const rest = new Set(candidates);
  while (picks.length < limit) {
    let best: (Pick<C> & { readonly sentence: number }) | undefined;
    for (const candidate of rest) {
      const scored = { candidate, ...scoreOf(candidate, left, sentences) };
      if (best === undefined || isBetter(scored, best)) best = scored;
    }
    if (best === undefined) break;
    const { candidate, score, sentence } = best;
    picks.push({ candidate, score });
    rest.delete(candidate);
    for (const { term } of candidate.matches) discount(term, COVERED_TERM);
    if (sentences === 1) continue;
    for (const term of terms) if (isIn(sentence, term)) discount(term, SERVED_SENTENCE);
  }
  return picks;
}

/** What a candidate is worth with what is `left` of the terms, and the sentence that it serves best. */
function scoreOf(
  { matches, bonus }: Candidate,
  left: ReadonlyMap<QueryTerm, number>,
  sentences: number,
): { score: number; sentence: number } {
  const parts = new Array<number>(sentences).fill(0);
  let sum = 0;
  for (const { term, gain } of matches) {
    const worth = gain * (left.get(term) ?? 1);
    sum += worth;
    for (let i = 0; i < sentences; i++) if (isIn(i, term)) parts[i] = (parts[i] ?? 0) + worth;
  }
  const most = Math.max(...parts);
  return { score: bonus * (most + OTHER_SENTENCES * (sum - most)), sentence: parts.indexOf(most) };
}

function isIn(sentence: number, term: QueryTerm): boolean {
  return (term.sentences & (1 << sentence)) !== 0;
}

function isBetter(a: Pick<Candidate>, b: Pick<Candidate>): boolean {
  return a.score > b.score || (a.score === b.score && a.candidate.name < b.candidate.name);
}
