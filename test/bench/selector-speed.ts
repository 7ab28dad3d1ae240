import { ToolSelector } from '../../src/selector/tool-selector.ts';
import { percentile } from './retrieval-metrics.ts';
import type { DataSet } from './tool-retrieval-data.ts';

export interface Speed {
  readonly tools: number;
  readonly indexMs: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly addServerMs: number;
  readonly removeServerMs: number;
}

const TOOLS = 10_000;
const SERVER_TOOLS = 50;
const REPEATS = 20;

/** A catalog of 10,000 tools, made of the set's by repeating them under other servers, asked the set's queries. */
export async function measureSpeed({ tools, queries }: DataSet): Promise<Speed> {
  const many = Array.from({ length: TOOLS }, (_, i) => {
    const tool = tools[i % tools.length] as (typeof tools)[number];
    return { ...tool, server: `${tool.server} ${Math.floor(i / tools.length)}` };
  });
  const start = performance.now();
  const selector = new ToolSelector(many);
  const indexMs = performance.now() - start;
  const times: number[] = [];
  for (const { text } of queries) times.push(await timed(() => selector.select(text)));
  const [added, removed]: [number[], number[]] = [[], []];
  for (let i = 0; i < REPEATS; i++) {
    const server = `added ${i}`;
    const own = many.slice(i * SERVER_TOOLS, (i + 1) * SERVER_TOOLS).map((tool) => ({ ...tool, server }));
    added.push(await timed(() => selector.update([...many, ...own])));
    removed.push(await timed(() => selector.update(many)));
  }
  return {
    ...{ tools: TOOLS, indexMs, p50Ms: percentile(times, 0.5), p95Ms: percentile(times, 0.95) },
    ...{ addServerMs: percentile(added, 0.5), removeServerMs: percentile(removed, 0.5) },
  };
}

async function timed(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
