import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { onTestFinished } from 'vitest';

const SWAP = `
  const { renameSync } = require('node:fs');
  const { parentPort, workerData } = require('node:worker_threads');
  const { first, second, spare, stopped } = workerData;
  const move = (from, to) => { try { renameSync(from, to); } catch {} };
  parentPort.postMessage('swapping');
  while (Atomics.load(stopped, 0) === 0) {
    move(first, spare); move(second, first); move(spare, second);
  }
`;

/** Swaps two entries from another thread, as fast as it can, until the returned function is called. */
export async function swapForEver(first: string, second: string): Promise<() => Promise<void>> {
  const stopped = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(SWAP, { eval: true, workerData: { first, second, spare: `${first}-spare`, stopped } });
  const stop = async () => {
    if (Atomics.exchange(stopped, 0, 1) === 0) await once(worker, 'exit');
  };
  onTestFinished(stop);
  await once(worker, 'message');
  return stop;
}
