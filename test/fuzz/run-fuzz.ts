import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

export interface FuzzOptions {
  readonly seed: number;
  /** The first one; default 0. */
  readonly first?: number;
  /** How many at most. */
  readonly inputs: number;
  /** How long at most; default without end. */
  readonly seconds?: number;
}

export interface FuzzReport {
  readonly inputs: number;
  /** By the name of the target. */
  readonly counts: Readonly<Record<string, number>>;
}

/** An input at which everything stands still for so long hangs. */
const HANG_MS = 60_000;
const WATCH_MS = 1_000;
const HEAP_MIB = 256;

/**
 * Feeds mutated inputs to all targets. Rejects with the number of the input that broke one, hung, or took more memory than
 * there is; the same seed and number repeat it. It runs in a thread of its own, because nothing else could end a hang.
 */
export async function runFuzz(options: FuzzOptions): Promise<FuzzReport> {
  const progress = new Int32Array(new SharedArrayBuffer(4));
  progress[0] = -1;
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: { ...options, progress },
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
  });
  const hang = Promise.withResolvers<never>();
  let seen = -1;
  let since = performance.now();
  const watch = setInterval(() => {
    const input = Atomics.load(progress, 0);
    if (input !== seen) [seen, since] = [input, performance.now()];
    else if (performance.now() - since > HANG_MS)
      hang.reject(new Error(`Input ${input} of seed ${options.seed} hangs`));
  }, WATCH_MS);
  const ended = once(worker, 'exit');
  try {
    const [report] = await Promise.race([once(worker, 'message'), hang.promise]);
    // It removes its folders before.
    await Promise.race([ended, hang.promise]);
    return report as FuzzReport;
  } catch (cause) {
    throw new Error(`Fuzzing stopped at input ${Atomics.load(progress, 0)} of seed ${options.seed}`, { cause });
  } finally {
    clearInterval(watch);
    await worker.terminate();
    await ended.catch(() => {});
  }
}
