import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { type QueryTerm, queryTerms } from './query-terms.ts';
import type { RankedTool, Retriever } from './retriever.ts';
import { type Token, tokenize } from './tokenize.ts';
import { FIELDS, toolText } from './tool-text.ts';
import { isActionVerb } from './vocabulary.ts';

/** Saturation and length normalisation of BM25. */
const K1 = 1.5;
const B = 0.75;
/** A tool whose whole name occurs in the query scores up to this much more. */
const NAME_BONUS = 0.35;
/** Weight that is left to a query term once a better tool covers it, so that a request's second intent gets its turn. */
const COVERED = 0.93;
/** Verbs that many tools share weigh less than what they act on. */
const ACTION_VERB_WEIGHT = 0.6;
/** The most tools that one query gets; reordering more of them would cost more than finding them. */
const MAX_RESULTS = 50;

interface Posting {
  readonly tool: number;
  /** Occurrences over all fields, weighted and normalised by field length. */
  readonly frequency: number;
  /** One bit per field of FIELDS that holds the term. */
  readonly fields: number;
}

interface Match {
  readonly term: QueryTerm;
  readonly gain: number;
  readonly fields: number;
}

interface Candidate {
  readonly tool: number;
  readonly matches: Match[];
  readonly bonus: number;
}

/** BM25F over the words of the tools. Needs no model; a millisecond or two for thousands of tools. At most 50 results. */
export class LexicalIndex implements Retriever {
  readonly #tools: readonly ToolDescriptor[];
  readonly #postings = new Map<string, Posting[]>();
  readonly #nameTerms: readonly ReadonlySet<string>[];

  constructor(tools: readonly ToolDescriptor[]) {
    this.#tools = tools;
    const texts = tools.map((tool) => toolText(tool).map(tokenize));
    const averages = FIELDS.map((_, field) => average(texts.map((fields) => fields[field]?.length ?? 0)));
    this.#nameTerms = texts.map(([name]) => new Set(name?.map((token) => token.term)));
    for (const [tool, fields] of texts.entries()) this.#add(tool, fields, averages);
  }

  async rank(query: string, limit: number): Promise<readonly RankedTool[]> {
    const terms = queryTerms(query, (term) => this.#postings.has(term));
    const scale = this.#scale(terms);
    return this.#pick(this.#candidates(terms), Math.min(limit, MAX_RESULTS)).map(({ candidate, score }) => ({
      tool: this.#tool(candidate),
      score: Math.min(1, score / scale),
      reasons: reasonsOf(candidate.matches),
    }));
  }

  #add(tool: number, fields: readonly Token[][], averages: readonly number[]): void {
    const entries = new Map<string, { frequency: number; fields: number }>();
    for (const [field, { weight }] of FIELDS.entries()) {
      const tokens = fields[field] ?? [];
      const norm = 1 - B + (B * tokens.length) / (averages[field] || 1);
      for (const { term } of tokens) {
        const entry = entries.get(term) ?? { frequency: 0, fields: 0 };
        entries.set(term, { frequency: entry.frequency + weight / norm, fields: entry.fields | (1 << field) });
      }
    }
    for (const [term, entry] of entries) {
      const postings = this.#postings.get(term);
      if (postings === undefined) this.#postings.set(term, [{ tool, ...entry }]);
      else postings.push({ tool, ...entry });
    }
  }

  #candidates(terms: readonly QueryTerm[]): Candidate[] {
    const found = new Map<number, Match[]>();
    for (const term of terms) {
      const weight = term.weight * this.#weight(term.term);
      for (const { tool, frequency, fields } of this.#postings.get(term.term) ?? []) {
        const match = { term, gain: (weight * frequency * (K1 + 1)) / (K1 + frequency), fields };
        const matches = found.get(tool);
        if (matches === undefined) found.set(tool, [match]);
        else matches.push(match);
      }
    }
    const asked = new Set(terms.filter((term) => term.synonymOf === undefined).map((term) => term.term));
    return [...found].map(([tool, matches]) => ({
      tool,
      matches,
      bonus: 1 + NAME_BONUS * this.#coverage(tool, asked),
    }));
  }

  /** The best candidates; each pick makes the terms it covers count a little less for the next one. */
  #pick(candidates: Candidate[], limit: number): { candidate: Candidate; score: number }[] {
    const left = new Map<QueryTerm, number>();
    const score = (candidate: Candidate) =>
      candidate.bonus * candidate.matches.reduce((sum, { term, gain }) => sum + gain * (left.get(term) ?? 1), 0);
    const best = (list: Candidate[]) =>
      list
        .map((candidate) => ({ candidate, score: score(candidate) }))
        .sort((a, b) => b.score - a.score || (this.#name(a.candidate) < this.#name(b.candidate) ? -1 : 1));
    let rest = best(candidates).slice(0, MAX_RESULTS);
    const picks: typeof rest = [];
    while (picks.length < limit) {
      const [first, ...others] = rest;
      if (first === undefined) break;
      picks.push(first);
      for (const { term } of first.candidate.matches) left.set(term, (left.get(term) ?? 1) * COVERED);
      rest = best(others.map(({ candidate }) => candidate));
    }
    return picks;
  }

  /**
   * What a score is measured against: the weight of the query's own words. Requests carry names and values that no tool
   * can cover, so each word beyond the first few adds only half.
   */
  #scale(terms: readonly QueryTerm[]): number {
    const rarest = inverseFrequency(this.#tools.length, 0);
    const own = terms.filter((term) => term.synonymOf === undefined);
    const mass = own.reduce((sum, { term }) => sum + this.#weight(term), 0);
    return 2 * rarest + mass / 2;
  }

  #weight(term: string): number {
    const rarity = inverseFrequency(this.#tools.length, this.#postings.get(term)?.length ?? 0);
    return isActionVerb(term) ? ACTION_VERB_WEIGHT * rarity : rarity;
  }

  /** The share of a tool's name that the query says. */
  #coverage(tool: number, asked: ReadonlySet<string>): number {
    const name = this.#nameTerms[tool];
    return name === undefined || name.size === 0 ? 0 : name.intersection(asked).size / name.size;
  }

  #tool({ tool }: Candidate): ToolDescriptor {
    return this.#tools[tool] as ToolDescriptor;
  }

  #name(candidate: Candidate): string {
    return toolName(this.#tool(candidate));
  }
}

function inverseFrequency(total: number, having: number): number {
  return Math.log(1 + (total - having + 0.5) / (having + 0.5));
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** `name: create, entities`: each matched word under the first field that holds it. */
function reasonsOf(matches: readonly Match[]): string[] {
  const words = FIELDS.map(() => new Set<string>());
  for (const { term, fields } of matches) {
    words[Math.log2(fields & -fields)]?.add(
      term.synonymOf === undefined ? term.word : `${term.word} (${term.synonymOf})`,
    );
  }
  return FIELDS.flatMap(({ name }, field) => {
    const list = [...(words[field] ?? [])];
    return list.length === 0 ? [] : [`${name}: ${list.join(', ')}`];
  });
}
