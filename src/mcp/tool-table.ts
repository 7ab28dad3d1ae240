import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js';
import type { CallToolResult, ServerNotification, ServerRequest, Tool } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import { type TraceContext, traceContext } from '../core/trace-context.ts';

/** What a call comes with: its signal, its progress token, and the way to ask or tell the client something. */
export type CallExtra = RequestHandlerExtra<ServerRequest, ServerNotification>;

/** Tools that a server offers, in an order that stays. */
export interface ToolSource {
  list(): readonly Tool[];
  find(name: string): CallTool | undefined;
}

/** What it throws is told to the model. */
export type CallTool = (args: Readonly<Record<string, unknown>>, extra: CallExtra) => Promise<CallToolResult>;

export interface ToolConfig<Shape extends z.ZodRawShape> extends Pick<Tool, 'title' | 'description' | 'annotations'> {
  readonly inputSchema: Shape;
  readonly outputSchema?: z.ZodRawShape;
}

/** Tools whose arguments have zod schemas, in the order in which they were registered. */
export class ToolTable implements ToolSource {
  readonly #tools: Tool[] = [];
  readonly #calls = new Map<string, CallTool>();

  registerTool<Shape extends z.ZodRawShape>(
    name: string,
    { inputSchema, outputSchema, ...about }: ToolConfig<Shape>,
    call: (args: z.output<z.ZodObject<Shape>>, extra: CallExtra) => Promise<CallToolResult>,
  ): void {
    const input = z.object(inputSchema);
    this.#tools.push({
      name,
      ...about,
      inputSchema: jsonSchema(input),
      ...(outputSchema === undefined ? {} : { outputSchema: jsonSchema(z.object(outputSchema)) }),
    });
    this.#calls.set(name, async (args, extra) => {
      const { success, data, error } = input.safeParse(args);
      if (!success) throw new WorkcellError('invalid_argument', `${name}: ${z.prettifyError(error)}`);
      return call(data, extra);
    });
  }

  list(): readonly Tool[] {
    return this.#tools;
  }

  find(name: string): CallTool | undefined {
    return this.#calls.get(name);
  }
}

/** Where a call belongs among the traces of its client: what the call itself says, else its HTTP request. */
export function traceOf({ _meta, requestInfo }: CallExtra): TraceContext | undefined {
  const { traceparent, tracestate } = _meta?.['traceparent'] === undefined ? (requestInfo?.headers ?? {}) : _meta;
  return traceContext(traceparent, tracestate);
}

/**
 * Without the dialect, which is the protocol's own, and without a word on further fields: an agent reads the definitions before every
 * task.
 */
function jsonSchema(schema: z.ZodObject): Tool['inputSchema'] {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' });
  return rest as Tool['inputSchema'];
}
