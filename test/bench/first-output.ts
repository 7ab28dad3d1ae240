import { SandboxExecutor } from '../../src/executor/sandbox-executor.ts';
import type { Secret } from '../../src/util/secret.ts';
import { MACHINE } from '../support/driver-guest.ts';

/** A client of a server of the benchmark, whose sandboxes are of the default size. */
function newExecutor({ url, key }: { readonly url: string; readonly key: Secret }): SandboxExecutor {
  return new SandboxExecutor({
    url,
    apiKey: key,
    sandbox: { image: 'host', ...MACHINE },
    bootTimeoutMs: 60_000,
    idleTimeoutMs: 60_000,
  });
}

/** Milliseconds from nothing to the first byte that a program writes, through the server's HTTP interface. */
export async function firstOutput(
  server: { readonly url: string; readonly key: Secret },
  workspace: string,
): Promise<number> {
  await using executor = newExecutor(server);
  const started = performance.now();
  let first = 0;
  await executor.execute({
    customer: 'bench',
    mounts: [{ type: 'bind', host: workspace, guest: '/workspace' }],
    program: { id: 'one', code: 'console.log(1)', outputBytes: 1024, valueBytes: 1024 },
    timeoutMs: 30_000,
    handlers: {
      onStarted: () => {},
      onOutput: () => {
        first ||= performance.now() - started;
      },
      onCall: () => Promise.reject(new Error('no tools here')),
    },
  });
  return first;
}
