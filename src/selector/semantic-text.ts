import type { ToolDescriptor } from '../core/tool.ts';
import { splitIdentifier } from './tokenize.ts';

/** A model reads only the beginning of a text, and what comes late in a description is how to use the tool, not what it does. */
const MAX_LENGTH = 1_000;

/** What a tool says of itself, as a sentence for an embedding model: `memory create entities: Create new entities …`. */
export function semanticText({ server, tool, description, annotations }: ToolDescriptor): string {
  const name = [server, tool].map((identifier) => splitIdentifier(identifier).join(' ')).join(' ');
  const says = `${annotations?.title ?? ''} ${description}`.trim();
  return `${name}: ${says}`.replace(/\s+/g, ' ').slice(0, MAX_LENGTH);
}
