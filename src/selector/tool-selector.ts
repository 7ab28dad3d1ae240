import type { HiddenServer, NoMatch, SearchMode, SelectedTool, Selection, SpentBudget } from '../core/selection.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { definitionTokens } from './definition-tokens.ts';
import { ExactNames } from './exact-names.ts';
import { fuseRankings } from './fuse-rankings.ts';
import { LexicalIndex } from './lexical-index.ts';
import type { RankedTool, Retriever } from './retriever.ts';
import type { SemanticSource } from './semantic-source.ts';
import { withHistory } from './with-history.ts';

export interface SearchOptions {
  /** The most tools: 5 by default for a selection, 10 for a search. */
  readonly limit?: number;
  /** Servers whose tools cannot be called at the moment, and why. Their tools are left out. */
  readonly unavailable?: ReadonlyMap<string, string>;
  /** Finds tools by what they were used for before; see `UsageIndex`. */
  readonly history?: Retriever | undefined;
}

export interface SelectOptions extends SearchOptions {
  /** What the best tool has to score, 0 to 1, for anything to be selected; {@link DEFAULT_THRESHOLD} by default. */
  readonly threshold?: number;
  /** About how many tokens the definitions of the selected tools may be together. Default: any number. */
  readonly maxTokens?: number;
}

export interface ToolSelectorOptions {
  /** Ranks the tools, and is kept up to date by its owner; by default a {@link LexicalIndex} over them. */
  readonly retriever?: Retriever;
  /** Ranks the same tools by meaning, and is fused with the retriever's ranking. Default: there is none. */
  readonly semantic?: SemanticSource | undefined;
}

/** What was found, best first; of several queries each gets its turn. */
export interface Finding {
  readonly mode: SearchMode;
  readonly withoutEmbeddings?: string;
  readonly tools: readonly SelectedTool[];
  /** The servers that are down, when there are any. */
  readonly hidden?: readonly HiddenServer[];
}

/** Chosen on labelled requests: one in twenty that a tool serves stays below it, and most of those that none does. */
export const DEFAULT_THRESHOLD = 0.18;

/** Beside the best tool, those are selected that score at least this share of it: a request may need several. */
const LEAST_SHARE = 1 / 3;

const NEAR_MISSES = 3;

/** What each ranking gives to their fusion, at least: a tool that both have further down may come first. */
const FUSED_PLACES = 50;

type Ranking = Omit<Finding, 'tools' | 'hidden'> & { readonly ranked: readonly RankedTool[] };

/** Chooses the few tools that fit a task, or says that none does. The same tools, history and task give the same answer. */
export class ToolSelector {
  readonly #servers = new Map<string, readonly ToolDescriptor[]>();
  readonly #names = new ExactNames();
  readonly #lexical: LexicalIndex | undefined;
  readonly #retriever: Retriever;
  readonly #semantic: SemanticSource | undefined;

  constructor(tools: readonly ToolDescriptor[], { retriever, semantic }: ToolSelectorOptions = {}) {
    this.#lexical = retriever === undefined ? new LexicalIndex() : undefined;
    this.#retriever = retriever ?? this.#lexical ?? new LexicalIndex();
    this.#semantic = semantic;
    this.update(tools);
  }

  /** From now on chooses among these. Only servers with other tools than before, or other objects for them, are indexed anew. */
  update(tools: readonly ToolDescriptor[]): void {
    const servers = Map.groupBy(tools, ({ server }) => server);
    for (const server of [...this.#servers.keys()]) if (!servers.has(server)) this.#replaceServer(server, []);
    for (const [server, own] of servers) {
      const before = this.#servers.get(server) ?? [];
      if (own.length !== before.length || own.some((tool, i) => tool !== before[i])) this.#replaceServer(server, own);
    }
  }

  /**
   * The tools to import for a task: those it names, then the best; none when even the best stays below the threshold. A task
   * that is given as several gets tools for each of them in turn.
   */
  async select(task: string | readonly string[], options: SelectOptions = {}): Promise<Selection> {
    const { limit = 5, threshold = DEFAULT_THRESHOLD, maxTokens } = options;
    const parts = await this.#rankAll(task, Math.max(limit, NEAR_MISSES), options);
    const fitting = parts.map(({ ranked }) => fittingTools(ranked, threshold));
    const { hidden, visible } = this.#sift(fitting, limit, options);
    const tools = maxTokens === undefined ? visible.slice(0, limit) : withinBudget(visible, limit, maxTokens);
    const noMatch = visible.length > 0 ? null : this.#noMatch(parts, threshold, hidden);
    const budget = maxTokens === undefined ? undefined : spentOn(tools, visible.slice(0, limit), maxTokens);
    return {
      ...modeOf(parts),
      considered: this.#count,
      tools: tools.map(asSelected),
      noMatch,
      ...(hidden.length === 0 ? {} : { hidden }),
      ...(budget === undefined ? {} : { budget }),
    };
  }

  /** The best tools whatever they score, at most 50 a query; those that a query names come first, with score 1. */
  async search(query: string | readonly string[], options: SearchOptions = {}): Promise<readonly SelectedTool[]> {
    return (await this.find(query, options)).tools;
  }

  /** The same, with how they were found. */
  async find(query: string | readonly string[], options: SearchOptions = {}): Promise<Finding> {
    const { limit = 10 } = options;
    const parts = await this.#rankAll(query, limit, options);
    const lists = parts.map(({ ranked }) => ranked);
    const { hidden, visible } = this.#sift(lists, limit, options);
    const tools = visible.slice(0, limit).map(asSelected);
    return { ...modeOf(parts), tools, ...(hidden.length === 0 ? {} : { hidden }) };
  }

  get #count(): number {
    return [...this.#servers.values()].reduce((sum, own) => sum + own.length, 0);
  }

  #replaceServer(server: string, tools: readonly ToolDescriptor[]): void {
    if (tools.length > 0) this.#servers.set(server, tools);
    else this.#servers.delete(server);
    this.#names.replaceServer(server, tools);
    this.#lexical?.replaceServer(server, tools);
  }

  /** Each query's ranking: enough of it to fill `limit` places also when some of its tools are left out. */
  #rankAll(query: string | readonly string[], limit: number, options: SearchOptions): Promise<Ranking[]> {
    const places = (options.unavailable?.size ?? 0) > 0 ? Math.max(limit, FUSED_PLACES) : limit;
    return Promise.all([query].flat().map((each) => this.#rank(each, places, options.history)));
  }

  async #rank(query: string, limit: number, history: Retriever | undefined): Promise<Ranking> {
    const named = this.#names.find(query);
    const { ranked, ...how } = await this.#fuse(query, limit + named.length, history);
    const others = ranked.filter(({ tool }) => !named.includes(tool));
    return { ...how, ranked: [...named.map(asNamed), ...others].slice(0, limit) };
  }

  async #fuse(query: string, limit: number, history: Retriever | undefined): Promise<Ranking> {
    if (this.#semantic === undefined && history === undefined) {
      return { mode: 'lexical', ranked: await this.#retriever.rank(query, limit) };
    }
    const places = Math.max(limit, FUSED_PLACES);
    const [described, used, semantic] = await Promise.all([
      this.#retriever.rank(query, places),
      history?.rank(query, places),
      this.#semantic?.rank(query, places),
    ]);
    const lexical = used === undefined ? described : withHistory(described, used);
    if (semantic === undefined) return { mode: 'lexical', ranked: lexical };
    if ('unavailable' in semantic) return { mode: 'lexical', withoutEmbeddings: semantic.unavailable, ranked: lexical };
    return { mode: 'hybrid', ranked: fuseRankings(lexical, semantic.ranked, DEFAULT_THRESHOLD) };
  }

  /** What can be called, of each list in turn; and of the servers that are down, what would have been among the first. */
  #sift(
    lists: readonly (readonly RankedTool[])[],
    limit: number,
    { unavailable = new Map() }: SearchOptions,
  ): { readonly visible: readonly RankedTool[]; readonly hidden: readonly HiddenServer[] } {
    const all = inTurns(lists);
    const first = all.slice(0, limit);
    const hidden = [...unavailable]
      .filter(([server]) => this.#servers.has(server))
      .map(([server, reason]) => ({
        server,
        reason,
        tools: first.filter(({ tool }) => tool.server === server).map(({ tool }) => tool.tool),
      }))
      .sort((a, b) => (a.server < b.server ? -1 : 1));
    return { visible: all.filter(({ tool }) => !unavailable.has(tool.server)), hidden };
  }

  #noMatch(parts: readonly Ranking[], threshold: number, hidden: readonly HiddenServer[]): NoMatch {
    const down = new Set(hidden.map(({ server }) => server));
    const visible = inTurns(parts.map(({ ranked }) => ranked)).filter(({ tool }) => !down.has(tool.server));
    const reason = this.#reason(strongest(visible), threshold, hidden);
    return { reason, nearMisses: visible.slice(0, NEAR_MISSES).map(asSelected) };
  }

  #reason(best: RankedTool | undefined, threshold: number, hidden: readonly HiddenServer[]): string {
    if (this.#count === 0) return 'There are no tools to choose from';
    const lost = hidden.filter(({ tools }) => tools.length > 0).map(({ server, reason }) => `"${server}" (${reason})`);
    if (lost.length > 0) return `What fits is on servers that are not available: ${lost.join(', ')}`;
    if (best === undefined) return `None of the ${this.#count} tools mentions any word of the task`;
    const [score, needed] = [best.score.toFixed(2), threshold.toFixed(2)];
    return `The nearest of ${this.#count} tools, "${toolName(best.tool)}", scores ${score} and ${needed} is needed`;
  }
}

/** Those of a ranking that are good enough to be imported. */
function fittingTools(ranked: readonly RankedTool[], threshold: number): readonly RankedTool[] {
  const best = strongest(ranked)?.score ?? 0;
  return best === 0 || best < threshold ? [] : ranked.filter(({ score }) => score >= LEAST_SHARE * best);
}

/** The first of each list, then the second of each; a tool once. */
function inTurns(lists: readonly (readonly RankedTool[])[]): readonly RankedTool[] {
  const [only] = lists;
  if (lists.length === 1 && only !== undefined) return only;
  const longest = Math.max(0, ...lists.map((list) => list.length));
  const merged = new Map<string, RankedTool>();
  for (let place = 0; place < longest; place++) {
    for (const list of lists) {
      const ranked = list[place];
      if (ranked !== undefined && !merged.has(toolName(ranked.tool))) merged.set(toolName(ranked.tool), ranked);
    }
  }
  return [...merged.values()];
}

/** The first that fit; a large one leaves its room to those after it. */
function withinBudget(ranked: readonly RankedTool[], limit: number, maxTokens: number): readonly RankedTool[] {
  const chosen: RankedTool[] = [];
  let spent = 0;
  for (const each of ranked) {
    const tokens = definitionTokens(each.tool);
    if (chosen.length === limit || spent + tokens > maxTokens) continue;
    chosen.push(each);
    spent += tokens;
  }
  return chosen;
}

function spentOn(chosen: readonly RankedTool[], wanted: readonly RankedTool[], maxTokens: number): SpentBudget {
  const tokens = chosen.reduce((sum, { tool }) => sum + definitionTokens(tool), 0);
  return {
    maxTokens,
    tokens,
    leftOut: wanted.filter((each) => !chosen.includes(each)).map(({ tool }) => toolName(tool)),
  };
}

/** Hybrid when every query was. */
function modeOf(parts: readonly Ranking[]): Omit<Finding, 'tools' | 'hidden'> {
  const { mode, withoutEmbeddings } = parts.find((part) => part.mode === 'lexical') ?? parts[0] ?? { mode: 'lexical' };
  return { mode, ...(withoutEmbeddings === undefined ? {} : { withoutEmbeddings }) };
}

function strongest(ranked: readonly RankedTool[]): RankedTool | undefined {
  return ranked.reduce<RankedTool | undefined>(
    (best, each) => (best === undefined || each.score > best.score ? each : best),
    undefined,
  );
}

function asNamed(tool: ToolDescriptor): RankedTool {
  return { tool, score: 1, reasons: ['named in the task'] };
}

function asSelected({ tool, score, reasons }: RankedTool): SelectedTool {
  return { server: tool.server, tool: tool.tool, score, reasons };
}
