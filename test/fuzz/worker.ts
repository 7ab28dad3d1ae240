import { parentPort, workerData } from 'node:worker_threads';
import { Random } from '../unit/random.ts';
import type { FuzzOptions, FuzzReport } from './run-fuzz.ts';
import { type FuzzTarget, openTargets } from './targets.ts';

/** Of the processor's time, which other programs and a slow disk take none of. Far more than any input takes. */
const MAX_INPUT_MS = 2_000;
const MAX_BUFFERS_BYTES = 256 * 1024 * 1024;
const CHECK_EVERY = 10_000;

const { seed, first = 0, inputs, seconds = Infinity, progress } = workerData as FuzzOptions & { progress: Int32Array };

await using stack = new AsyncDisposableStack();
const targets = await openTargets(stack);
const shares = targets.flatMap((target) => Array<FuzzTarget>(target.share).fill(target));
const counts: Record<string, number> = Object.fromEntries(targets.map(({ name }) => [name, 0]));
const endsAt = performance.now() + seconds * 1000;

let done = 0;
for (let input = first; done < inputs && performance.now() < endsAt; input++, done++) {
  Atomics.store(progress, 0, input);
  await feed(input);
  if (input % CHECK_EVERY === 0) checkBuffers(input);
}
parentPort?.postMessage({ inputs: done, counts } satisfies FuzzReport);

/** Each input has randomness of its own, so that one alone can be repeated. */
async function feed(input: number): Promise<void> {
  const random = new Random(Math.imul(input + 1, 0x9e3779b1) ^ seed);
  const target = shares[random.integer(0, shares.length - 1)];
  if (target === undefined) throw new Error('There are no targets');
  counts[target.name] = (counts[target.name] ?? 0) + 1;
  const start = process.threadCpuUsage();
  try {
    const running = target.run(random);
    if (running !== undefined) await running;
  } catch (cause) {
    throw new Error(`Input ${input} of seed ${seed} breaks ${target.name}: ${String(cause)}`, { cause });
  }
  const { user, system } = process.threadCpuUsage(start);
  const ms = (user + system) / 1000;
  if (ms > MAX_INPUT_MS) throw new Error(`Input ${input} of seed ${seed} takes ${target.name} ${Math.round(ms)} ms`);
}

function checkBuffers(input: number): void {
  const { arrayBuffers } = process.memoryUsage();
  if (arrayBuffers > MAX_BUFFERS_BYTES) throw new Error(`By input ${input}, ${arrayBuffers} bytes of buffers are kept`);
}
