import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { splitIdentifier } from './tokenize.ts';

/** Finds tools that a text calls by their name: `memory.create_entities`, `create_entities`, `createEntities`. */
export class ExactNames {
  readonly #tools = new Map<string, ToolDescriptor[]>();

  constructor(tools: readonly ToolDescriptor[]) {
    for (const tool of tools) {
      for (const name of new Set([keyOf(tool.tool), keyOf(tool.identifier), keyOf(toolName(tool))])) {
        this.#tools.set(name, [...(this.#tools.get(name) ?? []), tool]);
      }
    }
  }

  /** The tools named in `text`, by name. A plain word such as `add` names a tool only when it is the whole text. */
  find(text: string): ToolDescriptor[] {
    const words = (text.match(NAME) ?? []).filter((word) => word === text.trim() || splitIdentifier(word).length > 1);
    const found = new Set(words.flatMap((word) => this.#tools.get(keyOf(word)) ?? []));
    return [...found].sort((a, b) => (toolName(a) < toolName(b) ? -1 : 1));
  }
}

const NAME = /[\p{L}\p{N}]+(?:[._/-]+[\p{L}\p{N}]+)*/gu;

function keyOf(name: string): string {
  return splitIdentifier(name).join('');
}
