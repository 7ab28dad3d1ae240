import { z } from 'zod';
import type { ToolFailure } from '../core/tool-error.ts';

const block = z.looseObject({ type: z.string(), text: z.string().optional() });

/** What a server may answer to `tools/call`; read leniently, so that an unknown kind of block does no harm. */
export const callResultSchema = z.looseObject({
  content: z.array(block).default([]),
  structuredContent: z.unknown().optional(),
  isError: z.boolean().default(false),
});

export type CallResult = z.output<typeof callResultSchema>;

/**
 * The value of a tool's result: its structured content; else what its one text says, an object or array parsed when the
 * text is the JSON of one; else its content blocks; null when it is empty. A bare number or word in a text stays text,
 * so that a tool's type does not change with what it happens to say.
 */
export function resultValue(result: CallResult): unknown {
  if (result.structuredContent !== undefined) return result.structuredContent;
  const [first, ...others] = result.content;
  if (first === undefined) return null;
  if (others.length > 0 || first.type !== 'text' || first.text === undefined) return result.content;
  return parsedOrText(first.text);
}

/** The failure of a result with `isError`, in the tool's own words. */
export function resultFailure(result: CallResult): ToolFailure {
  const words = result.content.flatMap(({ text }) => (text === undefined ? [] : [text])).join('\n');
  return { code: 'tool_failed', message: shortened(words) || 'The tool reported an error and did not say which' };
}

/** Keeps an error message readable; says how much is missing. */
export function shortened(text: string, length = 4_000): string {
  return text.length <= length ? text : `${text.slice(0, length)}… (${text.length - length} more characters)`;
}

function parsedOrText(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
