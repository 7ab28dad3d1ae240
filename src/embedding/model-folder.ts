import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkcellError } from '../core/errors.ts';
import { errnoOf } from '../util/errno.ts';
import type { Model } from './model.ts';

/** A model on this disk that can be loaded. */
export interface LocalModel {
  readonly folder: string;
  /** Which of the two weights it has: quantised to eight bits, or not. */
  readonly weights: 'q8' | 'fp32';
  /** A hash of everything that decides which vector a text gets. */
  readonly fingerprint: string;
}

const QUANTISED = 'onnx/model_quantized.onnx';
const FULL = 'onnx/model.onnx';
const BESIDE = ['config.json', 'tokenizer.json', 'tokenizer_config.json'];

/** Where `model` is kept once it is downloaded. */
export function cachedModelFolder(cache: string, model: Model): string {
  return join(cache, 'models', model.name);
}

/** The downloaded model, or undefined when a file is missing or is not what its publisher has. */
export async function findCachedModel(cache: string, model: Model): Promise<LocalModel | undefined> {
  const folder = cachedModelFolder(cache, model);
  for (const file of model.files) {
    if ((await hashOf(join(folder, file.path))) !== file.sha256) return undefined;
  }
  return openModelFolder(folder);
}

/**
 * A model in a folder of the user's: `config.json`, `tokenizer.json`, `tokenizer_config.json` if there is one, and
 * `onnx/model_quantized.onnx` or `onnx/model.onnx`. Throws `not_found` with what is missing.
 */
export async function openModelFolder(folder: string): Promise<LocalModel> {
  const quantised = await hashOf(join(folder, QUANTISED));
  const weights = quantised ?? (await hashOf(join(folder, FULL)));
  const [config, tokenizer, tokenizerConfig = ''] = await Promise.all(BESIDE.map((name) => hashOf(join(folder, name))));
  if (weights === undefined || config === undefined || tokenizer === undefined) {
    const needed = `config.json, tokenizer.json and ${QUANTISED} (or ${FULL})`;
    throw new WorkcellError(
      'not_found',
      `selector.embeddings.modelPath names a folder without an embedding model; it takes ${needed}`,
    );
  }
  const fingerprint = createHash('sha256').update([weights, config, tokenizer, tokenizerConfig].join()).digest('hex');
  return { folder, weights: quantised === undefined ? 'fp32' : 'q8', fingerprint };
}

async function hashOf(path: string): Promise<string | undefined> {
  try {
    return createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
