import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { messageOf, WorkcellError } from '../core/errors.ts';
import { writeFileAtomic } from '../util/atomic-file.ts';
import type { Deadline } from '../util/deadline.ts';
import type { Model, ModelFile } from './model.ts';

/** Bytes that have come, of about how many. */
export type OnBytes = (got: number, total: number) => void;

export interface DownloadModelOptions {
  readonly folder: string;
  readonly deadline: Deadline;
  readonly onBytes: OnBytes;
}

/**
 * Puts every file of `model` into the folder, each as a whole and only when its hash is right. Throws
 * `upstream_unavailable` when they cannot be had, `protocol_error` when they are not what they should be.
 */
export async function downloadModel(model: Model, { folder, deadline, onBytes }: DownloadModelOptions): Promise<void> {
  let got = 0;
  for (const file of model.files) {
    const content = await download(model, file, deadline, (bytes) => {
      got += bytes;
      onBytes(got, Math.max(got, model.bytes));
    });
    await writeFileAtomic(join(folder, file.path), content);
  }
}

async function download(
  model: Model,
  file: ModelFile,
  deadline: Deadline,
  onChunk: (bytes: number) => void,
): Promise<Buffer> {
  const url = `${model.url}/${file.path}`;
  const response = await fetch(url, { signal: deadline.signal }).catch((error) => {
    throw unavailable(url, deadline.signal.aborted ? deadline.signal.reason : error);
  });
  if (!response.ok || response.body === null) throw unavailable(url, `status ${response.status}`);
  const content = await read(response.body, { most: 2 * model.bytes, onChunk }).catch((error) => {
    throw unavailable(url, deadline.signal.aborted ? deadline.signal.reason : error);
  });
  if (createHash('sha256').update(content).digest('hex') === file.sha256) return content;
  const message = `${url} is not the file that ${model.name} consists of (its hash differs), and was thrown away`;
  throw new WorkcellError('protocol_error', message);
}

async function read(
  body: ReadableStream<Uint8Array>,
  { most, onChunk }: { readonly most: number; readonly onChunk: (bytes: number) => void },
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > most) throw new Error(`it has more than ${most} bytes`);
    chunks.push(chunk);
    onChunk(chunk.length);
  }
  return Buffer.concat(chunks);
}

const INSTEAD = 'try again, or put the model into a folder and name that in selector.embeddings.modelPath';

function unavailable(url: string, reason: unknown): WorkcellError {
  return new WorkcellError('upstream_unavailable', `Cannot download ${url}: ${inWords(reason)}; ${INSTEAD}`, {
    cause: reason,
  });
}

/** `fetch` says only that it failed; why is its cause. */
function inWords(reason: unknown): string {
  if (typeof reason === 'string') return reason;
  return messageOf(reason instanceof Error && reason.cause !== undefined ? reason.cause : reason) || String(reason);
}
