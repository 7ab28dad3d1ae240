/** Which of a server's tools there are, by their original names; `*` stands for any characters, the rest is literal. */
export interface ToolFilter {
  /** Default: all. */
  readonly allowedTools?: readonly string[] | undefined;
  /** Wins over `allowedTools`. */
  readonly excludeTools?: readonly string[] | undefined;
}

export function isToolAllowed(server: ToolFilter, tool: string): boolean {
  const { allowedTools, excludeTools = [] } = server;
  const matches = (pattern: string) => matchesPattern(pattern, tool);
  return (allowedTools === undefined || allowedTools.some(matches)) && !excludeTools.some(matches);
}

/** The patterns that no tool of the server matches: most often a name that is spelled wrong, or gone. */
export function unmatchedPatterns(server: ToolFilter, tools: readonly string[]): readonly string[] {
  const { allowedTools = [], excludeTools = [] } = server;
  const patterns = new Set([...allowedTools, ...excludeTools]);
  return [...patterns].filter((pattern) => !tools.some((tool) => matchesPattern(pattern, tool)));
}

/** Each piece between two `*` is looked for once, from left to right, so that no pattern takes long. */
function matchesPattern(pattern: string, text: string): boolean {
  const [first = '', ...others] = pattern.split('*');
  const last = others.pop();
  if (last === undefined) return text === pattern;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const piece of others) {
    const found = text.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
