import { type ErrorCode, isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import type { Model } from '../embedding/model.ts';
import { SemanticIndex } from '../selector/semantic-index.ts';
import type { SemanticAnswer, SemanticSource } from '../selector/semantic-source.ts';
import { semanticText } from '../selector/semantic-text.ts';
import { Deadline } from '../util/deadline.ts';
import { type Embeddings, type EmbeddingsSettings, openEmbeddings } from './embeddings.ts';

export interface SemanticSearchOptions {
  readonly settings: EmbeddingsSettings;
  /** Told, in words for people, how far loading and embedding are. */
  readonly onProgress: (text: string) => void;
  /** What is downloaded; default all-MiniLM-L6-v2. */
  readonly model?: Model | undefined;
}

/** How long queries wait for the model and the vectors, counted from the first of them; those after that do not wait. */
const READY_MS = 3_000;
/** How long one query may take once the model is there. */
const QUERY_MS = 1_000;
/** Of a download and of loading; embedding a catalog has no bound but its end. */
const LOAD_MS = 10 * 60_000;
/** A failure is not tried again before. */
const RETRY_MS = 5 * 60_000;

/**
 * The catalog, found by meaning. The model loads with the first query, and goes on in the background when that query stops
 * waiting for it.
 */
export class SemanticSearch implements SemanticSource, AsyncDisposable {
  readonly #options: SemanticSearchOptions;
  readonly #closing = new AbortController();
  #tools: readonly ToolDescriptor[] = [];
  #embeddings: Promise<Embeddings> | undefined;
  #index: Promise<SemanticIndex> | undefined;
  #waitUntil = 0;
  #stage = 'the embedding model still loads';
  #failed: { readonly why: string; readonly until: number } | undefined;

  constructor(options: SemanticSearchOptions) {
    this.#options = options;
  }

  /** What to search from now on. */
  setTools(tools: readonly ToolDescriptor[]): void {
    this.#tools = tools;
    this.#index = undefined;
  }

  async rank(query: string, limit: number): Promise<SemanticAnswer> {
    if (this.#failed !== undefined && performance.now() < this.#failed.until) return { unavailable: this.#failed.why };
    const index = this.#start();
    try {
      const ready = await within(this.#waitUntil - performance.now(), index);
      if (ready === undefined) return { unavailable: this.#stage };
      const ranked = await within(QUERY_MS, ready.rank(query, limit));
      return ranked === undefined ? { unavailable: 'the embedding model is busy' } : { ranked };
    } catch (error) {
      return { unavailable: reasonOf(error) };
    }
  }

  /** Gets the model, also by a download, and embeds every tool. Throws when that is impossible, or not allowed. */
  async prepare(): Promise<void> {
    this.#embeddings ??= this.#open(true);
    await this.#start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new WorkcellError('cancelled', 'This Workcell is closed'));
    await this.#index?.catch(() => {});
    const embeddings = await this.#embeddings?.catch(() => undefined);
    await embeddings?.[Symbol.asyncDispose]();
  }

  #start(): Promise<SemanticIndex> {
    if (this.#index !== undefined) return this.#index;
    this.#waitUntil = performance.now() + READY_MS;
    this.#failed = undefined;
    const index = this.#build(this.#tools);
    this.#index = index;
    index.catch((error) => {
      // Of other tools than those of now, it says nothing.
      if (this.#index !== index) return;
      this.#index = undefined;
      this.#failed = { why: reasonOf(error), until: performance.now() + RETRY_MS };
    });
    return index;
  }

  async #build(tools: readonly ToolDescriptor[]): Promise<SemanticIndex> {
    this.#embeddings ??= this.#open(this.#options.settings.selector.embeddings.mode === 'on');
    const { embedder, store } = await this.#embeddings;
    const vectors = await store.embedAll(tools.map(semanticText), {
      signal: this.#closing.signal,
      onEmbedded: (done, all) => {
        this.#stage = `${done} of ${all} new tools are embedded`;
        if (isMilestone(done, all)) this.#options.onProgress(this.#stage);
      },
    });
    return new SemanticIndex(
      tools.map((tool, i) => ({ tool, vector: vectors[i] as Float32Array })),
      embedder,
    );
  }

  async #open(download: boolean): Promise<Embeddings> {
    const { settings, onProgress, model } = this.#options;
    using deadline = new Deadline('Loading the embedding model', LOAD_MS, { signal: this.#closing.signal });
    let told = 0;
    try {
      return await openEmbeddings(settings, {
        deadline,
        download,
        model,
        onBytes: (got, total) => {
          const percent = Math.floor((100 * got) / total);
          this.#stage = `the embedding model is being downloaded (${percent} %)`;
          if (percent < told + 10) return;
          told = percent;
          onProgress(`downloading the embedding model: ${percent} % of ${(total / 1e6).toFixed(0)} MB`);
        },
      });
    } catch (error) {
      this.#embeddings = undefined;
      throw error;
    }
  }
}

/** Their messages name no folder of this machine: what is answered gets into session logs, which guests can read. */
const SAYABLE: readonly ErrorCode[] = [
  'not_found',
  'unsupported',
  'upstream_unavailable',
  'protocol_error',
  'cancelled',
];

function reasonOf(error: unknown): string {
  if (isWorkcellError(error) && SAYABLE.includes(error.code)) return error.message;
  return 'the embedding model cannot be loaded or run; `workcell tools embed` says why';
}

/** The value, or undefined when the time is over before it comes. */
async function within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
  using deadline = new Deadline('Waiting', Math.max(0, ms));
  const tooLate = Promise.withResolvers<undefined>();
  deadline.signal.addEventListener('abort', () => tooLate.resolve(undefined), { once: true });
  return await Promise.race([work, tooLate.promise]);
}

/** A few times on the way, and at the end. */
function isMilestone(done: number, all: number): boolean {
  return done === all || done % 250 === 0;
}
