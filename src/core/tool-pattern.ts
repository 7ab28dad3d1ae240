/** Whether a tool's original name is what the pattern says: `*` stands for any characters, the rest is literal. */
export function matchesToolPattern(pattern: string, tool: string): boolean {
  // Each piece between two `*` is looked for once, from left to right, so that no pattern takes long.
  const [first = '', ...others] = pattern.split('*');
  const last = others.pop();
  if (last === undefined) return tool === pattern;
  if (!tool.startsWith(first)) return false;
  let at = first.length;
  for (const piece of others) {
    const found = tool.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return tool.length - last.length >= at && tool.endsWith(last);
}
