import { WorkcellError } from '../core/errors.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import { ToolSelector } from '../selector/tool-selector.ts';
import type { SemanticSearch } from './semantic-search.ts';

/** The tools as they are searched, by words and, where embeddings are on, by meaning; tells when they have changed. */
export class ToolIndex implements AsyncDisposable {
  readonly selector: ToolSelector;
  readonly #semantic: SemanticSearch | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(semantic: SemanticSearch | undefined) {
    this.#semantic = semantic;
    this.selector = new ToolSelector([], { semantic });
  }

  update(tools: readonly ToolDescriptor[]): void {
    this.#semantic?.setTools(tools);
    this.selector.update(tools);
    for (const listener of this.#listeners) listener();
  }

  /** Calls back after each update, until what is returned is called. */
  onChanged(listener: () => void): () => void {
    // Of its own, so that the same listener can be there twice.
    const entry = () => listener();
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  /** Gets the embedding model, and embeds every tool. Throws when embeddings are off or cannot be had. */
  async embed(): Promise<void> {
    if (this.#semantic === undefined)
      throw new WorkcellError('invalid_state', 'Embeddings are off; set selector.embeddings.mode to auto or on');
    await this.#semantic.prepare();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#semantic?.[Symbol.asyncDispose]();
  }
}
