import { messageOf, WorkcellError } from '../core/errors.ts';
import type { Embedder } from '../selector/embedder.ts';
import type { LocalModel } from './model-folder.ts';

/** What of `@xenova/transformers` is used. */
interface Library {
  pipeline(task: 'feature-extraction', folder: string, options: object): Promise<FeatureExtraction>;
}

interface FeatureExtraction {
  (text: string, options: object): Promise<{ readonly data: Float32Array }>;
  dispose(): Promise<unknown>;
}

const PACKAGE = '@xenova/transformers';

/** How to get the library; without the binaries for graphics cards that its runtime would download, and fails without. */
export const INSTALL = `ONNXRUNTIME_NODE_INSTALL=skip npm install ${PACKAGE}@npm:@huggingface/transformers@4`;

/** Whether the library is installed; it is not loaded. */
export function isInstalled(): boolean {
  try {
    return import.meta.resolve(PACKAGE) !== '';
  } catch {
    return false;
  }
}

/**
 * An embedder that runs `model` in this process, on the library's threads. The library, of more than a hundred megabytes, is
 * optional and loaded only here; nothing is read but the model's folder. Throws `unsupported` when it is not installed,
 * `internal` when it cannot be loaded, `invalid_argument` when the model cannot.
 */
export async function openTransformersEmbedder(model: LocalModel): Promise<TransformersEmbedder> {
  const library = await loadLibrary();
  try {
    const options = { dtype: model.weights, device: 'cpu', local_files_only: true };
    return new TransformersEmbedder(
      model.fingerprint,
      await library.pipeline('feature-extraction', model.folder, options),
    );
  } catch (error) {
    const message = `The embedding model in ${model.folder} cannot be loaded: ${messageOf(error)}`;
    throw new WorkcellError('invalid_argument', message, { cause: error });
  }
}

export class TransformersEmbedder implements Embedder, AsyncDisposable {
  readonly fingerprint: string;
  readonly #extract: FeatureExtraction;
  #last: Promise<unknown> = Promise.resolve();

  constructor(fingerprint: string, extract: FeatureExtraction) {
    this.fingerprint = fingerprint;
    this.#extract = extract;
  }

  /**
   * The mean of the text's tokens, at unit length. Texts are run one by one, in their order: quantised weights share one
   * scale within a batch, so that a vector would depend on the texts beside it.
   */
  embed(text: string): Promise<Float32Array> {
    const vector = this.#last.then(async () => {
      const { data } = await this.#extract(text, { pooling: 'mean', normalize: true });
      // A text of which the model knows nothing has no direction; it is like no other text.
      return data.every(Number.isFinite) ? Float32Array.from(data) : new Float32Array(data.length);
    });
    this.#last = vector.catch(() => {});
    return vector;
  }

  /** Waits for what was asked for. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    await this.#extract.dispose();
  }
}

async function loadLibrary(): Promise<Library> {
  if (!isInstalled()) throw new WorkcellError('unsupported', `${PACKAGE} is not installed: ${INSTALL}`);
  try {
    return (await import(PACKAGE)) as Library;
  } catch (error) {
    const message = `${PACKAGE} is installed and cannot be loaded: ${messageOf(error)}`;
    throw new WorkcellError('internal', message, { cause: error });
  }
}
