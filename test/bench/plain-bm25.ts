import type { ToolDescriptor } from '../../src/core/tool.ts';

/** The baseline: BM25 as search libraries ship it, over one text of name, description and parameters; nothing stemmed or split. */
export class PlainBm25 {
  readonly #tools: readonly ToolDescriptor[];
  readonly #postings = new Map<string, { tool: number; gain: number }[]>();

  constructor(tools: readonly ToolDescriptor[]) {
    this.#tools = tools;
    const texts = tools.map((tool) => words(`${tool.tool} ${tool.description} ${JSON.stringify(tool.inputSchema)}`));
    const average = texts.reduce((sum, text) => sum + text.length, 0) / Math.max(1, texts.length);
    for (const [tool, text] of texts.entries()) {
      for (const [word, count] of countsOf(text)) {
        const gain = (count * 2.5) / (count + 1.5 * (0.25 + (0.75 * text.length) / average));
        this.#postings.set(word, [...(this.#postings.get(word) ?? []), { tool, gain }]);
      }
    }
  }

  search(query: string, limit: number): readonly ToolDescriptor[] {
    const scores = new Map<number, number>();
    for (const word of words(query)) {
      const postings = this.#postings.get(word) ?? [];
      const rarity = Math.log(1 + (this.#tools.length - postings.length + 0.5) / (postings.length + 0.5));
      for (const { tool, gain } of postings) scores.set(tool, (scores.get(tool) ?? 0) + rarity * gain);
    }
    const best = [...scores].sort(([toolA, a], [toolB, b]) => b - a || toolA - toolB).slice(0, limit);
    return best.flatMap(([tool]) => this.#tools[tool] ?? []);
  }
}

function words(text: string): string[] {
  return (text.toLowerCase().match(/[a-z0-9]+/g) ?? []).filter((word) => word.length > 1);
}

function countsOf(list: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of list) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}
