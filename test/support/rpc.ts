import { request } from 'undici';
import { type Answer, API_KEY } from './sandbox-server.ts';

export interface RpcOptions {
  /** Default: the key of the test's server, as `Bearer KEY`. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Posts a body to a server of the 0.2 line; text goes out as it is. */
export async function post(url: string, body: unknown, options: RpcOptions = {}): Promise<Answer> {
  const { headers = { authorization: `Bearer ${API_KEY}` }, signal } = options;
  const response = await request(`${url}/api/v1/rpc`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headersTimeout: 0,
    ...(signal === undefined ? {} : { signal }),
  });
  const text = await response.body.text();
  return { status: response.statusCode, body: text === '' ? null : JSON.parse(text) };
}

/** Calls a method as the clients of 0.2 do. */
export function rpc(url: string, method: string, params?: unknown, options?: RpcOptions): Promise<Answer> {
  return post(url, { jsonrpc: '2.0', method, params, id: '1' }, options);
}
