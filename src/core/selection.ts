/** One tool that was chosen, and why. */
export interface SelectedTool {
  readonly server: string;
  readonly tool: string;
  /** 0 to 1: the share of the request's weight that this tool covers. 1 when the tool was named explicitly. */
  readonly score: number;
  /** What matched, readable: `name: create, entity`, `description: knowledge graph`. */
  readonly reasons: readonly string[];
}

/** By which evidence tools were found: their words, or their words and their meaning. */
export type SearchMode = 'lexical' | 'hybrid';

/** Said instead of a guess when no tool fits. */
export interface NoMatch {
  readonly reason: string;
  readonly nearMisses: readonly SelectedTool[];
}

/** A server whose tools cannot be called at the moment, and were left out for that. */
export interface HiddenServer {
  readonly server: string;
  readonly reason: string;
  /** Those of its tools that would have been chosen. */
  readonly tools: readonly string[];
}

/** What a budget in tokens did to a selection. */
export interface SpentBudget {
  readonly maxTokens: number;
  /** About how many tokens the definitions of the chosen tools are. */
  readonly tokens: number;
  /** Tools that fit the task and not the budget. */
  readonly leftOut: readonly string[];
}

/**
 * The tools chosen for one run.
 *
 * `explicit`: the caller named them. `imports`: the program's own import statements name them. `lexical`: the selector
 * chose them for the task, by its words; `hybrid`: by its words and its meaning. `none`: nothing was asked for.
 */
export interface Selection {
  readonly mode: 'explicit' | 'imports' | SearchMode | 'none';
  /** Why the task's meaning had no part although embeddings are configured; absent otherwise. */
  readonly withoutEmbeddings?: string;
  /** How many tools were looked at. */
  readonly considered: number;
  readonly tools: readonly SelectedTool[];
  readonly noMatch: NoMatch | null;
  /** The servers that are down, when there are any. */
  readonly hidden?: readonly HiddenServer[];
  /** When there was a budget. */
  readonly budget?: SpentBudget;
}
