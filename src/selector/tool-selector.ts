import type { NoMatch, SelectedTool, Selection } from '../core/selection.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { ExactNames } from './exact-names.ts';
import { LexicalIndex } from './lexical-index.ts';
import type { RankedTool, Retriever } from './retriever.ts';

export interface SelectOptions {
  /** The most tools to select; 5 by default. */
  readonly limit?: number;
  /** What the best tool has to score, 0 to 1, for anything to be selected; {@link DEFAULT_THRESHOLD} by default. */
  readonly threshold?: number;
}

export interface ToolSelectorOptions {
  /** Ranks the tools; by default a {@link LexicalIndex} over them. */
  readonly retriever?: Retriever;
}

/** Chosen on labelled requests: about four in five that no tool serves stay below it, one in twenty that a tool does. */
export const DEFAULT_THRESHOLD = 0.18;

/** Beside the best tool, those are selected that score at least this share of it: a request may need several. */
const LEAST_SHARE = 1 / 3;

const NEAR_MISSES = 3;

/** Chooses the few tools that fit a task, or says that none does. The same tools and task give the same answer. */
export class ToolSelector {
  readonly #count: number;
  readonly #names: ExactNames;
  readonly #retriever: Retriever;

  /** Indexes `tools`; a change of tools needs a new selector. */
  constructor(tools: readonly ToolDescriptor[], options: ToolSelectorOptions = {}) {
    this.#count = tools.length;
    this.#names = new ExactNames(tools);
    this.#retriever = options.retriever ?? new LexicalIndex(tools);
  }

  /** The tools to import for `task`: those it names, then the best; none when even the best stays below the threshold. */
  async select(task: string, options: SelectOptions = {}): Promise<Selection> {
    const { limit = 5, threshold = DEFAULT_THRESHOLD } = options;
    const ranked = await this.search(task, { limit: Math.max(limit, NEAR_MISSES) });
    const best = ranked[0]?.score ?? 0;
    if (best === 0 || best < threshold) {
      return { mode: 'lexical', considered: this.#count, tools: [], noMatch: this.#noMatch(ranked, threshold) };
    }
    const tools = ranked.slice(0, limit).filter((tool) => tool.score >= LEAST_SHARE * best);
    return { mode: 'lexical', considered: this.#count, tools, noMatch: null };
  }

  /** The best `limit` tools (10 by default, at most 50) whatever they score; those that `query` names come first, with score 1. */
  async search(query: string, options: { readonly limit?: number } = {}): Promise<readonly SelectedTool[]> {
    const { limit = 10 } = options;
    const named = this.#names.find(query);
    const ranked = await this.#retriever.rank(query, limit + named.length);
    const others = ranked.filter(({ tool }) => !named.includes(tool));
    return [...named.map(asNamed), ...others].slice(0, limit).map(asSelected);
  }

  #noMatch(ranked: readonly SelectedTool[], threshold: number): NoMatch {
    return { reason: this.#reason(ranked[0], threshold), nearMisses: ranked.slice(0, NEAR_MISSES) };
  }

  #reason(best: SelectedTool | undefined, threshold: number): string {
    if (this.#count === 0) return 'There are no tools to choose from';
    if (best === undefined) return `None of the ${this.#count} tools mentions any word of the task`;
    const [score, needed] = [best.score.toFixed(2), threshold.toFixed(2)];
    return `The nearest of ${this.#count} tools, "${toolName(best)}", scores ${score} and ${needed} is needed`;
  }
}

function asNamed(tool: ToolDescriptor): RankedTool {
  return { tool, score: 1, reasons: ['named in the task'] };
}

function asSelected({ tool, score, reasons }: RankedTool): SelectedTool {
  return { server: tool.server, tool: tool.tool, score, reasons };
}
