import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import { toolDefinition } from '../codegen/tool-definition.ts';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { Language } from '../core/execution.ts';
import { pythonPackage } from '../core/python-package.ts';
import type { HiddenServer, SearchMode, SelectedTool } from '../core/selection.ts';
import { estimateTokens } from '../core/token-estimate.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import type { SearchOptions, ToolSelector } from '../selector/tool-selector.ts';
import { printable } from '../util/printable.ts';

/** How much is told of a tool: `server.tool`; that and what it does, in a line; its types and the function that calls it. */
export const DETAILS = ['names', 'summaries', 'full'] as const;
export type Detail = (typeof DETAILS)[number];

export interface ToolSearchOptions {
  /** The most tools; default 10. */
  readonly limit?: number | undefined;
  /** Default `summaries`. */
  readonly detail?: Detail | undefined;
  /** What the texts of all hits may take together, as `estimateTokens` counts; default {@link DEFAULT_TOKENS}. */
  readonly maxTokens?: number | undefined;
  /** Of `full` definitions; default `typescript`. */
  readonly language?: Language | undefined;
}

/** One tool that was found, with the text that a model reads. */
export interface ToolHit extends SelectedTool {
  /** Less than what was asked for, where that did not fit any more or does not exist. */
  readonly detail: Detail;
  readonly text: string;
}

export interface ToolSearchResult {
  readonly mode: SearchMode;
  /** Why meaning had no part although embeddings are configured; absent otherwise. */
  readonly withoutEmbeddings?: string;
  /** The servers that are down, when there are any. */
  readonly hidden?: readonly HiddenServer[];
  /** How many tools were searched. */
  readonly considered: number;
  readonly hits: readonly ToolHit[];
  /** Of the texts of all hits, estimated. */
  readonly tokens: number;
  /** `server.tool` of those that were found, and for which no tokens were left. */
  readonly leftOut: readonly string[];
}

/** Where to search, and what is known beside the tools. */
export interface ToolSearchSources extends Pick<SearchOptions, 'unavailable' | 'history'> {
  readonly catalog: Pick<ToolCatalog, 'list' | 'get'>;
  readonly selector: ToolSelector;
}

export const DEFAULT_TOKENS: Readonly<Record<Detail, number>> = { names: 500, summaries: 1_500, full: 4_000 };

const MOST_QUERIES = 20;
const LINE_LENGTH = 120;

/**
 * The tools that fit, best first, each with as much text as was asked for and as the tokens allow. Several queries, one for
 * each step of a task, take turns. Throws `invalid_argument` for none or more than 20.
 */
export async function searchTools(
  queries: readonly string[],
  options: ToolSearchOptions,
  { catalog, selector, ...known }: ToolSearchSources,
): Promise<ToolSearchResult> {
  const { limit = 10, detail = 'summaries', maxTokens = DEFAULT_TOKENS[detail], language = 'typescript' } = options;
  if (queries.length === 0 || queries.length > MOST_QUERIES)
    throw new WorkcellError('invalid_argument', `${queries.length} queries were given; give 1 to ${MOST_QUERIES}`);
  const { tools: found, ...how } = await selector.find(queries, { limit, ...known });
  const hits: ToolHit[] = [];
  let tokens = 0;
  for (const selected of found) {
    const tool = catalog.get(toolName(selected));
    const fitting = textsOf(tool, detail, language).find(({ text }) => tokens + estimateTokens(text) <= maxTokens);
    if (fitting === undefined) continue;
    tokens += estimateTokens(fitting.text);
    hits.push({ ...selected, ...fitting });
  }
  const told = new Set(hits.map(toolName));
  const leftOut = found.map(toolName).filter((name) => !told.has(name));
  return { ...how, considered: catalog.list().length, hits, tokens, leftOut };
}

/** What can be told of a tool, from the detail that was asked for down to its summary; of names, nothing less. */
function textsOf(tool: ToolDescriptor, detail: Detail, language: Language): { detail: Detail; text: string }[] {
  if (detail === 'names') return [{ detail, text: printable(toolName(tool)) }];
  const summary = { detail: 'summaries', text: summaryOf(tool) } as const;
  const definition = detail === 'full' ? definitionOf(tool, language) : undefined;
  return definition === undefined ? [summary] : [{ detail: 'full', text: definition }, summary];
}

/** Undefined for a tool that the language cannot call. */
function definitionOf(tool: ToolDescriptor, language: Language): string | undefined {
  try {
    return `${importOf(tool, language)}\n${toolDefinition(tool, language).trimEnd()}`;
  } catch (error) {
    if (isWorkcellError(error) && error.code === 'unsupported') return undefined;
    throw error;
  }
}

function importOf({ server, identifier, pythonIdentifier }: ToolDescriptor, language: Language): string {
  if (language === 'python') return `# from servers.${pythonPackage(server)} import ${pythonIdentifier}`;
  return `// import { ${identifier} } from 'servers/${server}'`;
}

/** The first sentence of what the tool does, cut where a line ends; without characters that only a model would see. */
function summaryOf(tool: ToolDescriptor): string {
  const text = printable(tool.description).replace(/\s+/g, ' ').trim();
  const sentence = /^.*?[.!?](?= \p{Lu}|$)/u.exec(text)?.[0] ?? text;
  const line = sentence.length > LINE_LENGTH ? `${sentence.slice(0, LINE_LENGTH - 1).trimEnd()}…` : sentence;
  const name = printable(toolName(tool));
  return line === '' ? name : `${name}: ${line}`;
}
