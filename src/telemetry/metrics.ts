import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { ExecutionResult, ToolCallRecord } from '../core/execution.ts';

/** Seconds. */
const BUCKETS = {
  http: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
  execution: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
  boot: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
  call: [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
};

/** What is looked up when somebody asks. */
export interface Watched {
  /** Sandboxes of the server by their state. */
  readonly guests?: () => Readonly<Record<string, number>>;
  /** Copies that wait without a customer, and how many there should be. */
  readonly pool?: () => { readonly waiting: number; readonly size: number };
  /** The breaker of each upstream server. */
  readonly breakers?: () => Iterable<readonly [server: string, state: 'closed' | 'half_open' | 'open']>;
}

const BREAKER_VALUES = { closed: 0, half_open: 1, open: 2 };

/**
 * Numbers about what is done, for Prometheus. Labels hold only what is configured, and words of our own: never a customer, a
 * tool or an id.
 */
export class Metrics {
  readonly contentType: string;
  readonly #registry = new Registry();
  readonly #requests = this.#histogram('http_request_duration_seconds', 'http', ['method', 'route', 'status']);
  readonly #executions = this.#histogram('execution_duration_seconds', 'execution', ['status', 'language']);
  readonly #phases = this.#histogram('execution_phase_seconds', 'execution', ['phase']);
  readonly #running = this.#gauge('executions_running', []);
  readonly #boots = this.#histogram('sandbox_start_seconds', 'boot', ['driver', 'boot']);
  readonly #failedBoots = this.#counter('sandbox_start_failures_total', ['driver']);
  readonly #calls = this.#histogram('tool_call_duration_seconds', 'call', ['server', 'outcome']);
  readonly #refusals = this.#counter('quota_refusals_total', ['quota']);

  constructor() {
    this.contentType = this.#registry.contentType;
  }

  /** With the numbers of the process itself: memory, processor, event loop. */
  watchProcess(): void {
    collectDefaultMetrics({ register: this.#registry });
  }

  watch({ guests, pool, breakers }: Watched): void {
    if (guests !== undefined)
      this.#gauge('sandboxes', ['state'], (gauge) => {
        gauge.reset();
        for (const [state, count] of Object.entries(guests())) gauge.set({ state }, count);
      });
    if (pool !== undefined)
      this.#gauge('pool_guests', ['kind'], (gauge) => {
        const { waiting, size } = pool();
        gauge.set({ kind: 'waiting' }, waiting);
        gauge.set({ kind: 'wanted' }, size);
      });
    if (breakers !== undefined)
      this.#gauge('upstream_breaker_state', ['server'], (gauge) => {
        for (const [server, state] of breakers()) gauge.set({ server }, BREAKER_VALUES[state]);
      });
  }

  /** `route`: its pattern, never the path of the request. */
  requested(facts: { readonly method: string; readonly route: string; readonly status: number }, ms: number): void {
    this.#requests.observe({ ...facts }, ms / 1000);
  }

  executionStarted(): void {
    this.#running.inc();
  }

  /** `undefined`: what is under the program has failed. */
  executionEnded(result: ExecutionResult | undefined): void {
    this.#running.dec();
    if (result === undefined) return;
    const { status, language, timing, calls } = result;
    this.#executions.observe({ status, language }, timing.totalMs / 1000);
    const phases = {
      select: timing.selectMs,
      generate: timing.generateMs,
      acquire: timing.acquireMs,
      run: timing.runMs,
    };
    for (const [phase, ms] of Object.entries(phases)) this.#phases.observe({ phase }, ms / 1000);
    for (const call of calls) this.#called(call);
  }

  /** How long it took until a sandbox was there; `boot` undefined: it did not come. */
  sandboxStarted(driver: string, boot: string | undefined, ms: number): void {
    if (boot === undefined) this.#failedBoots.inc({ driver });
    else this.#boots.observe({ driver, boot }, ms / 1000);
  }

  refused(quota: string): void {
    this.#refusals.inc({ quota });
  }

  /** All of it, in the text format of Prometheus. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #called({ server, ms, ok, error }: ToolCallRecord): void {
    // A program may ask for a server that there is none of, under any name.
    if (error?.code === 'not_selected') return;
    this.#calls.observe({ server, outcome: ok ? 'ok' : (error?.code ?? 'failed') }, ms / 1000);
  }

  #histogram(name: keyof typeof HELP, buckets: keyof typeof BUCKETS, labelNames: string[]): Histogram {
    return new Histogram({ ...this.#named(name), labelNames, buckets: BUCKETS[buckets] });
  }

  #counter(name: keyof typeof HELP, labelNames: string[]): Counter {
    return new Counter({ ...this.#named(name), labelNames });
  }

  #gauge(name: keyof typeof HELP, labelNames: string[], collect: (gauge: Gauge) => void = () => {}): Gauge {
    const gauge: Gauge = new Gauge({ ...this.#named(name), labelNames, collect: () => collect(gauge) });
    return gauge;
  }

  #named(name: keyof typeof HELP): { name: string; help: string; registers: Registry[] } {
    return { name: `workcell_${name}`, help: HELP[name], registers: [this.#registry] };
  }
}

const HELP = {
  http_request_duration_seconds: 'From the first byte of a request to the end of its answer',
  execution_duration_seconds: 'Executions from admission to their end, by outcome',
  execution_phase_seconds: 'Parts of executions: select, generate, acquire (a sandbox), run',
  executions_running: 'Executions under way',
  sandbox_start_seconds: 'Until a sandbox was running: cold, restored, or pooled (a claim from the warm pool)',
  sandbox_start_failures_total: 'Sandboxes that did not start',
  sandboxes: 'Sandboxes by state',
  pool_guests: 'The warm pool: copies that wait, and copies that should',
  tool_call_duration_seconds: 'Tool calls of programs, by upstream server and outcome',
  quota_refusals_total: 'Requests refused because of a quota or a rate limit',
  upstream_breaker_state: '0 closed, 1 half open, 2 open',
} as const;
