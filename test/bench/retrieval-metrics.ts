import type { Query } from './tool-retrieval-data.ts';

/** What is measured of each query's answer, in the order of the columns; shares of 1. */
export const METRICS = ['R@1', 'R@3', 'R@5', 'R@10', 'C@10', 'N@5', 'N@10', 'MRR'] as const;

/** One answer, ten names long: recall, complete (all right tools are in it), nDCG and reciprocal rank. */
export function measureAnswer(names: readonly string[], query: Query): number[] {
  const { gold } = query;
  const recall = (k: number) => names.slice(0, k).filter((name) => gold.has(name)).length / gold.size;
  const first = names.findIndex((name) => gold.has(name));
  const complete = recall(10) === 1 ? 1 : 0;
  const reciprocal = first < 0 ? 0 : 1 / (first + 1);
  return [
    recall(1),
    recall(3),
    recall(5),
    recall(10),
    complete,
    gain(names, query, 5),
    gain(names, query, 10),
    reciprocal,
  ];
}

/** nDCG with linear gain; every right tool counts 1 where the data has no grades. */
function gain(names: readonly string[], { gold, grades }: Query, k: number): number {
  const gradeOf = (name: string) => grades?.get(name) ?? (gold.has(name) ? 1 : 0);
  const discounted = (list: readonly number[]) =>
    list.slice(0, k).reduce((sum, grade, place) => sum + grade / Math.log2(place + 2), 0);
  return discounted(names.map(gradeOf)) / discounted([...gold].map(gradeOf).sort((a, b) => b - a));
}

export interface Estimate {
  readonly mean: number;
  /** Half the width of the 95 % interval, by the bootstrap: the spread of the mean over samples of the same queries. */
  readonly margin: number;
}

const SAMPLES = 500;

/** The same values give the same estimate. */
export function estimate(values: readonly number[]): Estimate {
  const random = randomFrom(42);
  const means = Array.from({ length: SAMPLES }, () => {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[Math.floor(random() * values.length)] ?? 0;
    return sum / values.length;
  }).sort((a, b) => a - b);
  const [low = 0, high = 0] = [means[Math.floor(0.025 * SAMPLES)], means[Math.floor(0.975 * SAMPLES)]];
  return { mean: values.reduce((sum, value) => sum + value, 0) / values.length, margin: (high - low) / 2 };
}

/** The value that the given share of all values stays below. */
export function percentile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(share * values.length)] ?? 0;
}

/** Mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
