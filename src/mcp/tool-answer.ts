import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { toWorkcellError } from '../core/errors.ts';

/** Text for the model, and the same as data for the client. */
export function answer(text: string, structuredContent: Record<string, unknown>): CallToolResult {
  return { content: [{ type: 'text', text }], structuredContent };
}

/** What went wrong is told to the model, which can do something about it; the protocol itself is fine. */
export async function answering(work: () => Promise<CallToolResult>): Promise<CallToolResult> {
  try {
    return await work();
  } catch (error) {
    const { code, message } = toWorkcellError(error);
    return { content: [{ type: 'text', text: `${code}: ${message}` }], isError: true };
  }
}
