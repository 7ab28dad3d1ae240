import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { WorkcellError } from '../core/errors.ts';
import { downloadModel, type OnBytes } from '../embedding/download-model.ts';
import { MINILM, type Model } from '../embedding/model.ts';
import { cachedModelFolder, findCachedModel, type LocalModel, openModelFolder } from '../embedding/model-folder.ts';
import { INSTALL, isInstalled, openTransformersEmbedder } from '../embedding/transformers-embedder.ts';
import { VectorStore } from '../embedding/vector-store.ts';
import type { Embedder } from '../selector/embedder.ts';
import type { Deadline } from '../util/deadline.ts';

/** A model in memory, and the vectors that it has made. */
export interface Embeddings extends AsyncDisposable {
  readonly embedder: Embedder;
  readonly store: VectorStore;
}

export interface OpenEmbeddingsOptions {
  readonly deadline: Deadline;
  /** Whether a model that is not on this machine is downloaded. */
  readonly download: boolean;
  readonly onBytes: OnBytes;
  /** What is downloaded; default {@link MINILM}. */
  readonly model?: Model | undefined;
}

export type EmbeddingsSettings = Pick<Config, 'selector' | 'paths'>;

/** How `tools embed` is announced, wherever the model is missed. */
const GET_IT = '`workcell tools embed` gets it';

/**
 * Loads the model that the configuration names. Throws `not_found` when it is not here, and as downloading and loading do.
 */
export async function openEmbeddings(
  settings: EmbeddingsSettings,
  options: OpenEmbeddingsOptions,
): Promise<Embeddings> {
  const { deadline } = options;
  if (!isInstalled()) throw new WorkcellError('unsupported', notInstalled());
  const local = await deadline.race(getModel(settings, options));
  const embedder = await deadline.race(openTransformersEmbedder(local), (late) => void late[Symbol.asyncDispose]());
  const path = join(settings.paths.cache, 'embeddings', `${local.fingerprint.slice(0, 32)}.vectors`);
  return {
    embedder,
    store: new VectorStore(embedder, path),
    [Symbol.asyncDispose]: () => embedder[Symbol.asyncDispose](),
  };
}

/** For `doctor`: whether tools can be found by meaning here, and what is missing. */
export async function describeEmbeddings(settings: EmbeddingsSettings): Promise<string> {
  const { mode, modelPath } = settings.selector.embeddings;
  if (mode === 'off') return 'off';
  if (!isInstalled()) return notInstalled();
  try {
    const found =
      modelPath === undefined ? await findCachedModel(settings.paths.cache, MINILM) : await openModelFolder(modelPath);
    return found === undefined ? `${MINILM.name} is not on this machine; ${GET_IT}` : found.folder;
  } catch (error) {
    if (error instanceof WorkcellError) return error.message;
    throw error;
  }
}

async function getModel(settings: EmbeddingsSettings, options: OpenEmbeddingsOptions): Promise<LocalModel> {
  const { offline, modelPath } = settings.selector.embeddings;
  const { deadline, onBytes, model = MINILM } = options;
  if (modelPath !== undefined) return openModelFolder(modelPath);
  const { cache } = settings.paths;
  const cached = await findCachedModel(cache, model);
  if (cached !== undefined) return cached;
  if (offline)
    throw missing(`${model.name} is not in the cache, and selector.embeddings.offline forbids to download it`);
  if (!options.download) throw missing(`${model.name} is not on this machine; ${GET_IT}`);
  const folder = cachedModelFolder(cache, model);
  await downloadModel(model, { folder, deadline, onBytes });
  return openModelFolder(folder);
}

function missing(message: string): WorkcellError {
  return new WorkcellError('not_found', message);
}

function notInstalled(): string {
  return `the package that runs the model is not installed: ${INSTALL}`;
}
