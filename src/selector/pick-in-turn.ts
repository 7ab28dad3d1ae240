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

interface Scored<C extends Candidate> extends Pick<C> {
  /** The sentence that it serves best. */
  readonly sentence: number;
}

/** The best candidates, best first. Each pick makes what it serves count less, so that the request's other intents get their turn. */
export function pickInTurn<C extends Candidate>(
  candidates: readonly C[],
  { terms, sentences }: ParsedQuery,
  limit: number,
): Pick<C>[] {
  const left = new Map<QueryTerm, number>(terms.map((term) => [term, 1]));
  const discount = (term: QueryTerm, factor: number) => left.set(term, (left.get(term) ?? 1) * factor);
  const score = (candidate: C): Scored<C> => ({ candidate, ...scoreOf(candidate, left, sentences) });
  const queue = candidates.map(score).sort((a, b) => (isBetter(a, b) ? -1 : 1));
  const picks: Pick<C>[] = [];
  for (let head = queue.shift(); head !== undefined && picks.length < limit; head = queue.shift()) {
    // Scores only fall, so that one that still beats what the next one had is the best there is.
    const best = score(head.candidate);
    const place = queue.findIndex((other) => isBetter(best, other));
    if (place > 0 || (place < 0 && queue.length > 0)) {
      queue.splice(place < 0 ? queue.length : place, 0, best);
      continue;
    }
    picks.push({ candidate: best.candidate, score: best.score });
    for (const { term } of best.candidate.matches) discount(term, COVERED_TERM);
    if (sentences === 1) continue;
    for (const term of terms) if (isIn(best.sentence, term)) discount(term, SERVED_SENTENCE);
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
