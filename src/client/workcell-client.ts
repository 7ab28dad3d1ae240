import { CustomerClient } from './customer-client.ts';
import type { Operations } from './operations.ts';
import { type ApiRequest, Transport, type TransportOptions } from './transport.ts';

export type OperationName = keyof Operations;

type PartOf<Name extends OperationName, Part extends 'params' | 'query' | 'body'> = Operations[Name][Part];

/** What an operation takes; parts that it has none of are left out. */
export type OperationInput<Name extends OperationName> = {
  [Part in 'params' | 'query' | 'body' as PartOf<Name, Part> extends undefined ? never : Part]: PartOf<Name, Part>;
} & { readonly signal?: AbortSignal | undefined };

/**
 * A client of `workcell serve`, for backends in TypeScript.
 *
 * A request that fails is sent again where that can do no harm: the server has refused it unread (429, 503), it never left, or it
 * has the same effect twice. What cannot be repaired is thrown as a `WorkcellError` with the server's code and words.
 */
export class WorkcellClient {
  readonly #transport: Transport;

  constructor(options: TransportOptions) {
    this.#transport = new Transport(options);
  }

  /** Any operation of the API, by its method and path, that takes and answers JSON. */
  call<Name extends OperationName>(name: Name, input: OperationInput<Name>): Promise<Operations[Name]['answer']> {
    return this.#transport.json(toRequest(name, input));
  }

  /** What is done for one customer. */
  customer(id: string): CustomerClient {
    return new CustomerClient(this.#transport, id);
  }
}

interface AnyInput {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: ApiRequest['query'];
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

function toRequest(name: OperationName, input: AnyInput): ApiRequest {
  const { params = {}, query, body, signal } = input;
  const [method = '', template = ''] = name.split(' ');
  const path = template.replace(/\{(\w+)\}/g, (_, part: string) => encodeURIComponent(params[part] ?? ''));
  return { method: method as ApiRequest['method'], path, query, json: body, signal };
}
