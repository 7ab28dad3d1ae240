import {
  type CallToolResult,
  type ContentBlock,
  ContentBlockSchema,
  type Tool,
} from '@modelcontextprotocol/sdk/types.js';
import { isWorkcellError } from '../core/errors.ts';
import type { PendingApproval } from '../core/execution.ts';
import { isFields } from '../core/fields.ts';
import { type JsonSchema, type ToolDescriptor, toolName } from '../core/tool.ts';
import type { CallResult, ToolCallAnswer } from '../workcell/call-tool.ts';
import type { Customer } from '../workcell/customer.ts';
import type { AskPerson } from './ask-person.ts';
import { directNames } from './direct-names.ts';
import { approvalText } from './execution-answer.ts';
import { progressOf } from './progress.ts';
import { type CallTool, type ToolSource, traceOf } from './tool-table.ts';

/** The tools of a customer's MCP servers themselves, each with its own schemas, annotations and results. */
export class DirectTools implements ToolSource {
  readonly #customer: Customer;
  readonly #ask: AskPerson;

  constructor(customer: Customer, ask: AskPerson) {
    this.#customer = customer;
    this.#ask = ask;
  }

  list(): readonly Tool[] {
    return [...this.#tools()].map(([name, tool]) => definitionOf(name, tool));
  }

  find(name: string): CallTool | undefined {
    const tool = this.#tools().get(name);
    if (tool === undefined) return undefined;
    return async (args, extra) => {
      const tell = progressOf(extra);
      const over = new AbortController();
      let asked: PendingApproval | undefined;
      try {
        const answer = await this.#customer.callTool({
          tool: toolName(tool),
          arguments: args,
          signal: extra.signal,
          onProgress: tell,
          trace: traceOf(extra),
          onApproval: (approval) => {
            asked = approval;
            return this.#ask([approval], extra, over.signal).catch(() => false);
          },
        });
        return resultOf(answer);
      } catch (error) {
        if (asked === undefined || !isWorkcellError(error) || error.code !== 'paused') throw error;
        const text = `paused: ${approvalText(asked, this.#customer.id)}\nOnce that is decided the call is made by itself, as execution ${asked.executionId}: do not call it again`;
        return { content: [{ type: 'text', text }], isError: true };
      } finally {
        over.abort();
      }
    };
  }

  #tools(): ReadonlyMap<string, ToolDescriptor> {
    return directNames(this.#customer.listTools().filter(({ kind }) => kind === 'upstream'));
  }
}

function definitionOf(name: string, tool: ToolDescriptor): Tool {
  const { description, inputSchema, outputSchema, annotations } = tool;
  return {
    name,
    ...(annotations?.title === undefined ? {} : { title: annotations.title }),
    description,
    inputSchema: isObjectSchema(inputSchema) ? inputSchema : { type: 'object' },
    ...(isObjectSchema(outputSchema) ? { outputSchema } : {}),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/** The protocol knows no other; the broker checks the arguments by what the server says. */
function isObjectSchema(schema: JsonSchema | undefined): schema is Tool['inputSchema'] {
  return isFields(schema) && schema['type'] === 'object';
}

function resultOf(answer: ToolCallAnswer): CallToolResult {
  if (!answer.ok) {
    const { code, message } = answer.error;
    return { content: [{ type: 'text', text: `${code}: ${message}` }], isError: true };
  }
  const { value, result } = answer;
  // A resource or a prompt, which programs get as a value.
  if (result === undefined) return { content: [{ type: 'text', text: JSON.stringify(value) }], ...structured(value) };
  return { content: contentOf(result), ...structured(result.structuredContent) };
}

/** Models read texts: data that comes without one is told as one (MCP 2025-11-25, "Tools", "Structured Content"). */
function contentOf({ content, structuredContent }: CallResult): ContentBlock[] {
  if (content.length > 0 || structuredContent === undefined) return content.map(blockOf);
  return [{ type: 'text', text: JSON.stringify(structuredContent) }];
}

function structured(value: unknown): Pick<CallToolResult, 'structuredContent'> {
  return isFields(value) ? { structuredContent: value } : {};
}

/** As it came; a kind of block that the protocol does not know would make the whole result invalid. */
function blockOf(block: unknown): ContentBlock {
  const { success, data } = ContentBlockSchema.safeParse(block);
  return success ? data : { type: 'text', text: JSON.stringify(block) };
}
