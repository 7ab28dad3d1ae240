export interface RepeatOptions {
  readonly everyMs: number;
  /** Told what a run has thrown; the next one comes all the same. */
  readonly onProblem: (error: unknown) => void;
}

/**
 * Runs `work` now and at intervals, one run at a time, without keeping the process alive, until it is disposed, which waits for
 * the one under way; that one is told by its signal.
 */
export function repeat(
  work: (signal: AbortSignal) => Promise<void>,
  { everyMs, onProblem }: RepeatOptions,
): AsyncDisposable {
  const over = new AbortController();
  let running: Promise<void> | undefined;
  const start = () => {
    running ??= work(over.signal)
      .catch(onProblem)
      .finally(() => {
        running = undefined;
      });
  };
  start();
  const timer = setInterval(start, everyMs).unref();
  return {
    [Symbol.asyncDispose]: async () => {
      over.abort();
      clearInterval(timer);
      await running;
    },
  };
}
