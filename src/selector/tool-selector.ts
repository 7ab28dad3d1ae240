import type { NoMatch, SearchMode, SelectedTool, Selection } from '../core/selection.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { ExactNames } from './exact-names.ts';
import { fuseRankings } from './fuse-rankings.ts';
import { LexicalIndex } from './lexical-index.ts';
import type { RankedTool, Retriever } from './retriever.ts';
import type { SemanticSource } from './semantic-source.ts';

export interface SelectOptions {
  /** The most tools to select; 5 by default. */
  readonly limit?: number;
  /** What the best tool has to score, 0 to 1, for anything to be selected; {@link DEFAULT_THRESHOLD} by default. */
  readonly threshold?: number;
}

export interface ToolSelectorOptions {
  /** Ranks the tools; by default a {@link LexicalIndex} over them. */
  readonly retriever?: Retriever;
  /** Ranks the same tools by meaning, and is fused with the retriever's ranking. Default: there is none. */
  readonly semantic?: SemanticSource | undefined;
}

/** What was found for one query, best first. */
export interface Finding {
  readonly mode: SearchMode;
  readonly withoutEmbeddings?: string;
  readonly tools: readonly SelectedTool[];
}

/** Chosen on labelled requests: about four in five that no tool serves stay below it, one in twenty that a tool does. */
export const DEFAULT_THRESHOLD = 0.18;

/** Beside the best tool, those are selected that score at least this share of it: a request may need several. */
const LEAST_SHARE = 1 / 3;

const NEAR_MISSES = 3;

/** What each ranking gives to their fusion, at least: a tool that both have further down may come first. */
const FUSED_PLACES = 50;

/** Chooses the few tools that fit a task, or says that none does. The same tools and task give the same answer. */
export class ToolSelector {
  readonly #count: number;
  readonly #names: ExactNames;
  readonly #retriever: Retriever;
  readonly #semantic: SemanticSource | undefined;

  /** Indexes `tools`; a change of tools needs a new selector. */
  constructor(tools: readonly ToolDescriptor[], options: ToolSelectorOptions = {}) {
    this.#count = tools.length;
    this.#names = new ExactNames(tools);
    this.#retriever = options.retriever ?? new LexicalIndex(tools);
    this.#semantic = options.semantic;
  }

  /** The tools to import for `task`: those it names, then the best; none when even the best stays below the threshold. */
  async select(task: string, options: SelectOptions = {}): Promise<Selection> {
    const { limit = 5, threshold = DEFAULT_THRESHOLD } = options;
    const { tools: ranked, ...how } = await this.find(task, { limit: Math.max(limit, NEAR_MISSES) });
    const best = Math.max(0, ...ranked.map(({ score }) => score));
    if (best === 0 || best < threshold) {
      return { ...how, considered: this.#count, tools: [], noMatch: this.#noMatch(ranked, threshold) };
    }
    const tools = ranked.slice(0, limit).filter((tool) => tool.score >= LEAST_SHARE * best);
    return { ...how, considered: this.#count, tools, noMatch: null };
  }

  /** The best `limit` tools (10 by default, at most 50) whatever they score; those that `query` names come first, with score 1. */
  async search(query: string, options: { readonly limit?: number } = {}): Promise<readonly SelectedTool[]> {
    return (await this.find(query, options)).tools;
  }

  /** The same, with how they were found. */
  async find(query: string, options: { readonly limit?: number } = {}): Promise<Finding> {
    const { limit = 10 } = options;
    const named = this.#names.find(query);
    const { ranked, ...how } = await this.#rank(query, limit + named.length);
    const others = ranked.filter(({ tool }) => !named.includes(tool));
    return { ...how, tools: [...named.map(asNamed), ...others].slice(0, limit).map(asSelected) };
  }

  async #rank(query: string, limit: number): Promise<Omit<Finding, 'tools'> & { ranked: readonly RankedTool[] }> {
    if (this.#semantic === undefined) return { mode: 'lexical', ranked: await this.#retriever.rank(query, limit) };
    const places = Math.max(limit, FUSED_PLACES);
    const [lexical, semantic] = await Promise.all([
      this.#retriever.rank(query, places),
      this.#semantic.rank(query, places),
    ]);
    if ('unavailable' in semantic) {
      return { mode: 'lexical', withoutEmbeddings: semantic.unavailable, ranked: lexical.slice(0, limit) };
    }
    return { mode: 'hybrid', ranked: fuseRankings(lexical, semantic.ranked, DEFAULT_THRESHOLD).slice(0, limit) };
  }

  #noMatch(ranked: readonly SelectedTool[], threshold: number): NoMatch {
    return { reason: this.#reason(strongest(ranked), threshold), nearMisses: ranked.slice(0, NEAR_MISSES) };
  }

  #reason(best: SelectedTool | undefined, threshold: number): string {
    if (this.#count === 0) return 'There are no tools to choose from';
    if (best === undefined) return `None of the ${this.#count} tools mentions any word of the task`;
    const [score, needed] = [best.score.toFixed(2), threshold.toFixed(2)];
    return `The nearest of ${this.#count} tools, "${toolName(best)}", scores ${score} and ${needed} is needed`;
  }
}

function strongest(ranked: readonly SelectedTool[]): SelectedTool | undefined {
  return ranked.reduce<SelectedTool | undefined>(
    (best, tool) => (tool.score > (best?.score ?? -1) ? tool : best),
    undefined,
  );
}

function asNamed(tool: ToolDescriptor): RankedTool {
  return { tool, score: 1, reasons: ['named in the task'] };
}

function asSelected({ tool, score, reasons }: RankedTool): SelectedTool {
  return { server: tool.server, tool: tool.tool, score, reasons };
}
