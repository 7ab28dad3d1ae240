import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { type Candidate, type Match, type Pick, pickInTurn } from './pick-in-turn.ts';
import { countIn, Postings } from './postings.ts';
import { type ParsedQuery, parseQuery, type QueryTerm } from './query-terms.ts';
import { reasonsOf } from './reasons.ts';
import type { RankedTool, Retriever } from './retriever.ts';
import { type Token, tokenize } from './tokenize.ts';
import { DESCRIPTION, FIELDS, NAME, toolText } from './tool-text.ts';
import { isActionVerb } from './vocabulary.ts';

// Every number was chosen on labelled requests; docs/SELECTOR.md tells which, and what each of these gains.

/** Saturation of BM25: how soon more occurrences of a word count no more. */
const K1 = 1.5;
/** What a synonym counts against a word of the query. */
const SYNONYM_WEIGHT = 0.45;
/** Verbs that many tools share weigh less than what they act on. */
const ACTION_VERB_WEIGHT = 0.6;
/** A tool whose whole name the query says scores this much more. A synonym says half a word. */
const NAME_BONUS = 0.45;
const SYNONYM_SAYS = 0.5;
/** The tools of the server whose best three fit best score this much more, those of other servers in proportion. */
const SERVER_BONUS = 0.15;
const SERVER_TOOLS = 3;
/** What the share of a tool's description that the query says adds to the confidence that this tool is meant. */
const DESCRIPTION_SAID = 0.6;

/** The most tools that a query gets, and that compete for it. */
const MAX_RESULTS = 50;
const CANDIDATES = 100;

interface Entry {
  readonly tool: ToolDescriptor;
  readonly name: string;
  /** How many different words its name has, and what those of its description weigh. */
  readonly nameWords: number;
  readonly descriptionWeight: number;
}

interface LexicalCandidate extends Entry, Candidate {
  readonly matches: Match[];
}

/**
 * BM25F over the words of tools, and what requests for tools need beyond it; no model. A server comes and goes at the
 * cost of its own tools. The same tools give the same answer, whatever was there before.
 */
export class LexicalIndex implements Retriever {
  readonly #postings = new Postings();
  readonly #entries: (Entry | undefined)[] = [];
  readonly #slots = new Map<string, readonly number[]>();

  constructor(tools: readonly ToolDescriptor[] = []) {
    for (const [server, own] of Map.groupBy(tools, (tool) => tool.server)) this.replaceServer(server, own);
  }

  /** From now on the server has these tools and no others; none at all removes it. */
  replaceServer(server: string, tools: readonly ToolDescriptor[]): void {
    for (const slot of this.#slots.get(server) ?? []) {
      this.#postings.remove(slot);
      this.#entries[slot] = undefined;
    }
    const slots = tools.map((tool) => this.#add(tool));
    if (slots.length > 0) this.#slots.set(server, slots);
    else this.#slots.delete(server);
  }

  /** At most 50. */
  async rank(query: string, limit: number): Promise<readonly RankedTool[]> {
    const parsed = parseQuery(query, (term) => this.#postings.frequency(term) > 0);
    const picks = pickInTurn(this.#candidates(parsed), parsed, Math.min(limit, MAX_RESULTS));
    const [best] = picks;
    if (best === undefined) return [];
    const confidence = this.#confidence(best, parsed) / best.score;
    return picks.map(({ candidate, score }) => ({
      tool: candidate.tool,
      score: confidence * score,
      reasons: reasonsOf(candidate.matches),
    }));
  }

  #add(tool: ToolDescriptor): number {
    const fields = toolText(tool).map(tokenize);
    const slot = this.#postings.add(fields);
    this.#entries[slot] = {
      tool,
      name: toolName(tool),
      nameWords: wordsOf(fields[NAME]).size,
      descriptionWeight: sum([...wordsOf(fields[DESCRIPTION])].map(verbWeight)),
    };
    return slot;
  }

  /** The tools that score best by themselves, before they compete. */
  #candidates({ terms }: ParsedQuery): LexicalCandidate[] {
    const scores = new Float64Array(this.#postings.slots);
    const bonuses = new Float64Array(this.#postings.slots).fill(1);
    for (const term of terms) {
      const bonus = NAME_BONUS * (term.synonymOf === undefined ? 1 : SYNONYM_SAYS);
      this.#eachMatch(term, (slot, gain, fields) => {
        scores[slot] = (scores[slot] ?? 0) + gain;
        if (holds(fields, NAME)) bonuses[slot] = (bonuses[slot] ?? 1) + bonus / (this.#entries[slot]?.nameWords ?? 1);
      });
    }
    for (let slot = 0; slot < scores.length; slot++) scores[slot] = (scores[slot] ?? 0) * (bonuses[slot] ?? 1);
    const best = bestSlots(scores, CANDIDATES);
    const fits = this.#serverFits(best, scores);
    const candidates = new Map<number, LexicalCandidate>();
    for (const slot of best) {
      const entry = this.#entries[slot];
      if (entry === undefined) continue;
      const bonus = (bonuses[slot] ?? 1) * (1 + SERVER_BONUS * (fits.get(entry.tool.server) ?? 0));
      candidates.set(slot, { ...entry, bonus, matches: [] });
    }
    const isBest = new Uint8Array(scores.length);
    for (const slot of best) isBest[slot] = 1;
    for (const term of terms) {
      const push = (slot: number, gain: number, fields: number) =>
        candidates.get(slot)?.matches.push({ term, gain, fields });
      this.#eachMatch(term, push, isBest);
    }
    return [...candidates.values()];
  }

  /** BM25F of one term in every tool that holds it, or in those slots that `only` marks. */
  #eachMatch(term: QueryTerm, visit: (slot: number, gain: number, fields: number) => void, only?: Uint8Array): void {
    const list = this.#postings.find(term.term);
    if (list === undefined) return;
    const weight = (term.synonymOf === undefined ? 1 : SYNONYM_WEIGHT) * this.#weight(term.term);
    const weights = this.#postings.weights();
    for (let i = 0; i < list.slots.length; i++) {
      const slot = list.slots[i] ?? 0;
      if (only !== undefined && only[slot] === 0) continue;
      const counts = list.counts[i] ?? 0;
      let frequency = 0;
      let fields = 0;
      for (let field = 0; field < FIELDS.length; field++) {
        const count = countIn(field, counts);
        if (count === 0) continue;
        frequency += count * (weights[slot * FIELDS.length + field] ?? 0);
        fields |= 1 << field;
      }
      visit(slot, (weight * frequency * (K1 + 1)) / (K1 + frequency), fields);
    }
  }

  /** How well the best tools of each server fit: 1 for the best server. */
  #serverFits(slots: readonly number[], scores: Float64Array): Map<string, number> {
    const byServer = Map.groupBy(slots, (slot) => this.#entries[slot]?.tool.server ?? '');
    const fits = [...byServer].map(([server, own]): [string, number] => [
      server,
      sum(own.slice(0, SERVER_TOOLS).map((slot) => scores[slot] ?? 0)),
    ]);
    const most = Math.max(...fits.map(([, fit]) => fit));
    return new Map(fits.map(([server, fit]) => [server, fit / most]));
  }

  /**
   * How sure it is that the best tool is meant, 0 to 1: its score against the weight of the query's own words, and how much of
   * its description they say. Requests carry names and values that no tool can cover, so each word beyond the first few
   * asks for only half.
   */
  #confidence({ candidate, score }: Pick<LexicalCandidate>, { terms }: ParsedQuery): number {
    const rarest = inverseFrequency(this.#postings.size, 0);
    const own = terms.filter((term) => term.synonymOf === undefined);
    const asked = 2 * rarest + sum(own.map(({ term }) => this.#weight(term))) / 2;
    const said = candidate.matches
      .filter(({ fields }) => holds(fields, DESCRIPTION))
      .map(({ term }) => verbWeight(term.term) * (term.synonymOf === undefined ? 1 : SYNONYM_SAYS));
    const share = sum(said) / Math.max(1, candidate.descriptionWeight);
    return Math.min(1, (score / asked + DESCRIPTION_SAID * share) / (1 + DESCRIPTION_SAID));
  }

  #weight(term: string): number {
    return verbWeight(term) * inverseFrequency(this.#postings.size, this.#postings.frequency(term));
  }
}

function inverseFrequency(total: number, having: number): number {
  return Math.log(1 + (total - having + 0.5) / (having + 0.5));
}

function verbWeight(term: string): number {
  return isActionVerb(term) ? ACTION_VERB_WEIGHT : 1;
}

/** The slots of the `count` highest scores above 0, best first, with all that score as high as the last of them. */
function bestSlots(scores: Float64Array, count: number): number[] {
  const scoreOf = (slot: number) => scores[slot] ?? 0;
  // Sorting thousands takes longer than looking a few times for a bound that some hundred exceed.
  let bound = scores.reduce((most, score) => Math.max(most, score), 0) / 2;
  let slots = slotsAbove(scores, bound);
  while (slots.length < count && bound > 0) {
    bound = bound < 1e-6 ? 0 : bound / 2;
    slots = slotsAbove(scores, bound);
  }
  slots.sort((a, b) => scoreOf(b) - scoreOf(a));
  const least = scoreOf(slots[count - 1] ?? -1);
  return slots.filter((slot) => scoreOf(slot) >= least);
}

function slotsAbove(scores: Float64Array, bound: number): number[] {
  const slots: number[] = [];
  for (let slot = 0; slot < scores.length; slot++) if ((scores[slot] ?? 0) > bound) slots.push(slot);
  return slots;
}

/** The different words of a text, an identifier's as a whole left out. */
function wordsOf(tokens: readonly Token[] = []): Set<string> {
  return new Set(tokens.filter(({ compound }) => !compound).map(({ term }) => term));
}

function holds(fields: number, field: number): boolean {
  return (fields & (1 << field)) !== 0;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
