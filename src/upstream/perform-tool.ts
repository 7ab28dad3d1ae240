import { z } from 'zod';
import type { ToolMethod } from '../core/tool.ts';
import type { ToolFailure } from '../core/tool-error.ts';
import { readPages } from './read-pages.ts';
import { type CallResult, callResultSchema, resultFailure, resultValue } from './tool-result.ts';

export interface ToolRequest {
  /** The tool's original name. */
  readonly tool: string;
  /** Default: `tools/call`. */
  readonly method?: ToolMethod | undefined;
  readonly arguments: Readonly<Record<string, unknown>>;
  /** Told of the whole answer of a tool that did not fail. */
  readonly onResult?: ((result: CallResult) => void) | undefined;
}

/** Sends one request and gives the result as the schema reads it; throws what the SDK throws, and a `ZodError`. */
export type Send = <Schema extends z.ZodType<Record<string, unknown>>>(
  method: string,
  params: Record<string, unknown>,
  schema: Schema,
) => Promise<z.output<Schema>>;

export type ToolAnswer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly failure: ToolFailure };

const entries = z.array(z.unknown());
const nextCursor = z.string().nullish();
const resourcePage = z.looseObject({ resources: entries, nextCursor });
const templatePage = z.looseObject({ resourceTemplates: entries, nextCursor });
const promptPage = z.looseObject({ prompts: entries, nextCursor });
const contents = z.looseObject({ contents: z.array(z.looseObject({ uri: z.string() })) });
const promptResult = z.looseObject({ description: z.string().optional(), messages: entries });

/** What a server answers to a call of one of its tools, or to the request that a helper tool stands for. */
export async function performTool(request: ToolRequest, send: Send): Promise<ToolAnswer> {
  const { tool, method, arguments: args, onResult } = request;
  switch (method) {
    case undefined: {
      const result = await send('tools/call', { name: tool, arguments: args }, callResultSchema);
      if (result.isError) return { ok: false, failure: resultFailure(result) };
      onResult?.(result);
      return answer(resultValue(result));
    }
    case 'resources/list': {
      const resources = await readPages('resources', async (cursor) => {
        const page = await send('resources/list', at(cursor), resourcePage);
        return { entries: page.resources, nextCursor: page.nextCursor };
      });
      return answer({ resources, templates: await listTemplates(send) });
    }
    case 'resources/read': {
      const result = await send('resources/read', { uri: args['uri'] }, contents);
      return answer({ contents: result.contents });
    }
    case 'prompts/list': {
      const prompts = await readPages('prompts', async (cursor) => {
        const page = await send('prompts/list', at(cursor), promptPage);
        return { entries: page.prompts, nextCursor: page.nextCursor };
      });
      return answer({ prompts });
    }
    case 'prompts/get': {
      const { description, messages } = await send('prompts/get', { ...args }, promptResult);
      return answer({ ...(description === undefined ? {} : { description }), messages });
    }
    default:
      return method satisfies never;
  }
}

/** Many servers with resources do not know the request for templates, and have none. */
async function listTemplates(send: Send): Promise<readonly unknown[]> {
  return readPages('resource templates', async (cursor) => {
    const page = await send('resources/templates/list', at(cursor), templatePage).catch((error) => {
      if ((error as { code?: unknown }).code === METHOD_NOT_FOUND) return { resourceTemplates: [], nextCursor: null };
      throw error;
    });
    return { entries: page.resourceTemplates, nextCursor: page.nextCursor };
  });
}

const METHOD_NOT_FOUND = -32601;

function at(cursor: string | undefined): Record<string, unknown> {
  return cursor === undefined ? {} : { cursor };
}

function answer(value: unknown): ToolAnswer {
  return { ok: true, value };
}
