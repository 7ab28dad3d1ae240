import type { z } from 'zod';
import type { Principal, Scope } from '../core/principal.ts';
import type { TraceContext } from '../core/trace-context.ts';
import type { Customer } from '../workcell/customer.ts';
import type { Readiness } from '../workcell/readiness.ts';
import type { Workcell } from '../workcell/workcell.ts';

/** What all routes share. */
export interface HttpContext {
  readonly cell: Workcell;
  readonly readiness: Pick<Readiness, 'report'>;
}

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';

/** What a handler answers; a stream that breaks ends the connection, so that no client takes it for whole. */
export interface Answer {
  /** Default 200, or 204 without a body. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON, unless `type` says otherwise; absent: no body. */
  readonly body?: unknown;
  /** The type of a body that is text, bytes or a stream, or would be. */
  readonly type?: string;
  /** Sends status and headers before there is anything of a stream. */
  readonly headersAtOnce?: boolean;
}

export interface ResponseDefinition {
  readonly description: string;
  /** Of a JSON body. Absent: there is none, or one of `types`. */
  readonly schema?: z.ZodType;
  /** Further media types in which the body is to be had; a schema is that of one line or event of it. */
  readonly types?: Readonly<Record<string, z.ZodType | null>>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A body that is taken as it comes, instead of as JSON. */
export interface RawBody {
  readonly types: readonly string[];
  /** More is refused with 413, while it arrives. */
  readonly maxBytes: number;
}

type OutputOf<Schema> = Schema extends z.ZodType ? z.output<Schema> : undefined;

/** What a handler gets, checked: nothing else of the request reaches it. */
export interface RouteRequest<Path extends string, Params, Query, Body, Headers> {
  /** By `{customer}` of the path: one that the principal may act for. */
  readonly customer: Path extends `${string}{customer}${string}` ? Customer : undefined;
  readonly params: OutputOf<Params>;
  readonly query: OutputOf<Query>;
  readonly body: Body extends RawBody ? AsyncIterable<Buffer> : OutputOf<Body>;
  readonly headers: OutputOf<Headers>;
  readonly principal: Principal;
  readonly requestId: string;
  /** What is done for this request is a part of. */
  readonly trace: TraceContext | undefined;
  /** What the client takes, of the types that the answers of the route have; the first is the default. */
  readonly accept: string;
  /** Aborted when the client is gone before the answer is. */
  readonly signal: AbortSignal;
}

export interface RouteDefinition<
  Path extends string = string,
  Params extends z.ZodType | undefined = undefined,
  Query extends z.ZodType | undefined = undefined,
  Body extends z.ZodType | RawBody | undefined = undefined,
  Headers extends z.ZodType | undefined = undefined,
> {
  readonly method: Method;
  /** `/customers/{customer}/…`; `{path*}` at the end takes slashes, too. */
  readonly path: Path;
  /** One line, for people. */
  readonly summary: string;
  readonly description?: string;
  /** What the key must be good for. */
  readonly scope: Scope;
  /** Whether the customer may be one that has nothing yet. Default: that is `not_found`, as is one of somebody else. */
  readonly makesCustomer?: boolean;
  /** Of the path, besides `{customer}`. */
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
  /** Of those that the route reads; names in lower case. */
  readonly headers?: Headers;
  /** Bytes of a JSON body. Default 1 MiB. */
  readonly bodyBytes?: number;
  /** What it answers when it succeeds. */
  readonly responses: Readonly<Record<number, ResponseDefinition>>;
  readonly handler: (request: RouteRequest<Path, Params, Query, Body, Headers>) => Promise<Answer>;
}

/** A definition whose types are only known to its own handler. */
export type Route = Omit<RouteDefinition, 'params' | 'query' | 'body' | 'headers' | 'handler'> & {
  readonly params?: z.ZodType | undefined;
  readonly query?: z.ZodType | undefined;
  readonly body?: z.ZodType | RawBody | undefined;
  readonly headers?: z.ZodType | undefined;
  readonly handler: (request: never) => Promise<Answer>;
};

/** Lets the handler know the types of what its schemas let through. */
export function defineRoute<
  const Path extends string,
  Params extends z.ZodType | undefined = undefined,
  Query extends z.ZodType | undefined = undefined,
  Body extends z.ZodType | RawBody | undefined = undefined,
  Headers extends z.ZodType | undefined = undefined,
>(definition: RouteDefinition<Path, Params, Query, Body, Headers>): Route {
  return definition as Route;
}

/** Whether a body is taken as it comes. */
export function isRawBody(body: Route['body']): body is RawBody {
  return body !== undefined && 'maxBytes' in body;
}
