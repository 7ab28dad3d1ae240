import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { isWorkcellError } from '../core/errors.ts';

/** Text for the model, and the same as data for the client. */
export function answer(text: string, structuredContent: Record<string, unknown>): CallToolResult {
  return { content: [{ type: 'text', text }], structuredContent };
}

/** Told of what went wrong in the server itself, whose reason no client is told. */
export type OnProblem = (error: unknown) => void;

/** Why something failed, for a client: what nobody has written for its eyes is for the log alone. */
export function tellableMessage(error: unknown, onProblem: OnProblem): string {
  if (isWorkcellError(error) && error.code !== 'internal') return `${error.code}: ${error.message}`;
  onProblem(error);
  return 'internal: The server failed; its log says why';
}
