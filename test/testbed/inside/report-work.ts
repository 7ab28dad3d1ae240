import { cpus } from 'node:os';
import { writeReport } from '../report.ts';

const EVERY_MS = 5_000;
/** Of the time of all processors: what looking takes, and the ticks of a kernel with nothing to do, are below it. */
const BUSY = 0.05;

/**
 * Says every few seconds whether this machine works. A guest that is slow keeps the processors busy, however slow it is; when
 * it hangs, because the emulation has lost an interrupt that it waits for, everybody waits.
 */
export function reportWork(): void {
  const reportBusy = () => writeReport({ kind: 'busy', ms: performance.now() });
  reportBusy();
  let before = timesOf();
  setInterval(() => {
    const now = timesOf();
    const busy = 1 - (now.idle - before.idle) / (now.all - before.all);
    before = now;
    if (busy > BUSY) reportBusy();
  }, EVERY_MS).unref();
}

/** In milliseconds since the machine was started, of all processors together. */
function timesOf(): { readonly idle: number; readonly all: number } {
  const times = cpus().map(({ times }) => times);
  const idle = times.reduce((sum, each) => sum + each.idle, 0);
  const all = times.flatMap((each) => Object.values(each)).reduce((sum, ms) => sum + ms, 0);
  return { idle, all };
}
