import { schemaHash } from '../core/schema-hash.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import type { RankedTool, Retriever } from './retriever.ts';
import { tokenize } from './tokenize.ts';
import { type UsageMemory, weightAt } from './usage-memory.ts';

const K1 = 1.5;
const B = 0.75;
/** As many tasks make a tool's memory half as reliable as it can become. */
const HALF_RELIABLE = 6;

interface Entry {
  readonly tool: ToolDescriptor;
  readonly name: string;
  readonly tasks: number;
  /** Tasks that a word is in, the older ones counting less. */
  readonly words: ReadonlyMap<string, number>;
  readonly length: number;
  readonly reliability: number;
}

/**
 * Finds tools by the tasks that they have served for one customer: BM25 over the words of those tasks, all tasks of a tool
 * taken as one text. The more tasks, the more a tool's score counts.
 */
export class UsageIndex implements Retriever {
  readonly #catalog: number;
  readonly #entries: readonly Entry[];
  readonly #holders = new Map<string, Entry[]>();
  readonly #average: number;

  /** Of a tool that has changed since, or is no more, nothing is remembered. */
  constructor(memory: UsageMemory, tools: readonly ToolDescriptor[], now: Date) {
    const known = new Map(tools.map((tool) => [toolName(tool), tool]));
    this.#catalog = tools.length;
    this.#entries = memory.flatMap((usage) => {
      const tool = known.get(toolName(usage));
      return tool === undefined || schemaHash(tool) !== usage.schemaHash ? [] : [entryOf(tool, usage.tasks, now)];
    });
    this.#average = sum(this.#entries.map(({ length }) => length)) / Math.max(1, this.#entries.length);
    for (const entry of this.#entries) {
      for (const word of entry.words.keys()) {
        const holders = this.#holders.get(word);
        if (holders === undefined) this.#holders.set(word, [entry]);
        else holders.push(entry);
      }
    }
  }

  /** Scores are shares of what the query weighs, as far as so many tasks can be relied on. */
  async rank(query: string, limit: number): Promise<readonly RankedTool[]> {
    const words = new Map(
      tokenize(query).flatMap(({ compound, term, word }) => (compound ? [] : [[term, word] as const])),
    );
    const scores = new Map<Entry, { score: number; said: string[] }>();
    for (const [term, word] of words) {
      const rarity = this.#rarity(term);
      for (const entry of this.#holders.get(term) ?? []) {
        const found = scores.get(entry) ?? { score: 0, said: [] };
        found.score += rarity * saturated(entry, term, this.#average);
        found.said.push(word);
        scores.set(entry, found);
      }
    }
    const asked = 2 * this.#rarity('') + sum([...words.keys()].map((term) => this.#rarity(term))) / 2;
    return [...scores]
      .map(([entry, { score, said }]) => ({ entry, score: (entry.reliability * score) / asked, said }))
      .sort((a, b) => b.score - a.score || (a.entry.name < b.entry.name ? -1 : 1))
      .slice(0, limit)
      .map(({ entry: { tool, tasks }, score, said }) => ({
        tool,
        score,
        reasons: [`used for ${tasks} similar ${tasks === 1 ? 'task' : 'tasks'}: ${said.join(', ')}`],
      }));
  }

  #rarity(term: string): number {
    const having = this.#holders.get(term)?.length ?? 0;
    return Math.log(1 + (this.#catalog - having + 0.5) / (having + 0.5));
  }
}

function entryOf(tool: ToolDescriptor, tasks: UsageMemory[number]['tasks'], now: Date): Entry {
  const words = new Map<string, number>();
  for (const task of tasks) {
    const terms = new Set(tokenize(task.text).flatMap(({ compound, term }) => (compound ? [] : [term])));
    const weight = weightAt(task, now);
    for (const term of terms) words.set(term, (words.get(term) ?? 0) + weight);
  }
  const support = sum(tasks.map((task) => weightAt(task, now)));
  const reliability = support / (support + HALF_RELIABLE);
  return { tool, name: toolName(tool), tasks: tasks.length, words, length: sum([...words.values()]), reliability };
}

function saturated({ words, length }: Entry, term: string, average: number): number {
  const frequency = words.get(term) ?? 0;
  return (frequency * (K1 + 1)) / (frequency + K1 * (1 - B + (B * length) / average));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
