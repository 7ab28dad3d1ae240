import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Model } from '../../src/embedding/model.ts';

const FILES = ['config.json', 'tokenizer_config.json', 'tokenizer.json', 'onnx/model_quantized.onnx'];

export interface ModelServer extends AsyncDisposable {
  /** What it serves, as a model to download. */
  readonly model: Model;
  /** Paths that were asked for. */
  readonly requests: string[];
}

/** A hub of models on this machine, which has the model of a folder. */
export async function serveModel(folder: string, answer?: RequestListener): Promise<ModelServer> {
  const requests: string[] = [];
  const contents = new Map<string, Buffer>(
    await Promise.all(FILES.map(async (path) => [`/${path}`, await readFile(join(folder, path))] as const)),
  );
  const server = createServer((request, response) => {
    requests.push(request.url ?? '');
    if (answer !== undefined) answer(request, response);
    else response.end(contents.get(request.url ?? ''));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const files = FILES.map((path) => ({
    path,
    sha256: createHash('sha256')
      .update(contents.get(`/${path}`) ?? '')
      .digest('hex'),
  }));
  const bytes = [...contents.values()].reduce((sum, content) => sum + content.length, 0);
  return {
    model: { name: 'tiny', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, bytes, files },
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
