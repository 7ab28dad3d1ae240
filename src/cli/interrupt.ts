/**
 * A signal that fires when the user or the system asks us to end. The second time the process ends at once; guests end with
 * it, because the kernel ties them to it.
 */
export function onInterrupt(): AbortSignal {
  const controller = new AbortController();
  for (const [name, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(code);
      controller.abort();
    });
  }
  return controller.signal;
}
