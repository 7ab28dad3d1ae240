import { messageOf } from '../../src/core/errors.ts';

/** One everyday thing that a stock client does against a server. */
export interface Operation<Context> {
  /** Unique within its client. */
  readonly name: string;
  readonly area: Area;
  /** What the original's cloud documentation says of it. */
  readonly cloud: 'works' | 'limited' | 'local-only';
  /** Throws when the client does not do what its documentation says. */
  run(context: Context): Promise<void>;
}

/** The areas of the original's own table of what works on its cloud. */
export type Area =
  | 'lifecycle'
  | 'execution'
  | 'guest files'
  | 'volumes'
  | 'host paths'
  | 'network'
  | 'logs'
  | 'ssh'
  | 'images'
  | 'process control';

export interface OperationResult {
  readonly client: 'msb' | 'sdk';
  readonly name: string;
  readonly area: Area;
  readonly cloud: Operation<never>['cloud'];
  readonly ok: boolean;
  readonly ms: number;
  /** Why not, when `ok` is false. */
  readonly error?: string;
}

const OPERATION_TIMEOUT_MS = 400_000;

export interface RunOptions {
  /** Is told of each. */
  readonly onResult: (result: OperationResult) => void;
  /** How many times slower than usual this machine is. Default 1. */
  readonly slowness?: number;
}

/** Runs them one after the other; none stops the others. */
export async function runOperations<Context>(
  client: OperationResult['client'],
  operations: readonly Operation<Context>[],
  context: Context,
  { onResult, slowness = 1 }: RunOptions,
): Promise<void> {
  for (const { name, area, cloud, run } of operations) {
    const started = performance.now();
    const error = await within(run(context), OPERATION_TIMEOUT_MS * slowness).then(
      () => undefined,
      (reason) => messageOf(reason),
    );
    const ms = Math.round(performance.now() - started);
    onResult({ client, name, area, cloud, ms, ok: error === undefined, ...(error === undefined ? {} : { error }) });
  }
}

async function within(running: Promise<void>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no end after ${limitMs / 1000} s`)), limitMs);
  });
  await Promise.race([running, late]).finally(() => clearTimeout(timer));
}
