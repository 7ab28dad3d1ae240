import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { splitIdentifier } from './tokenize.ts';

/** Finds tools that a text calls by their name: `memory.create_entities`, `create_entities`, `createEntities`. */
export class ExactNames {
  readonly #tools = new Map<string, readonly ToolDescriptor[]>();
  readonly #servers = new Map<string, readonly ToolDescriptor[]>();

  /** From now on the server has these tools and no others. */
  replaceServer(server: string, tools: readonly ToolDescriptor[]): void {
    for (const key of new Set((this.#servers.get(server) ?? []).flatMap(keysOf))) {
      const others = (this.#tools.get(key) ?? []).filter((tool) => tool.server !== server);
      if (others.length > 0) this.#tools.set(key, others);
      else this.#tools.delete(key);
    }
    if (tools.length > 0) this.#servers.set(server, tools);
    else this.#servers.delete(server);
    for (const tool of tools) {
      for (const key of keysOf(tool)) this.#tools.set(key, [...(this.#tools.get(key) ?? []), tool]);
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

function keysOf(tool: ToolDescriptor): string[] {
  return [...new Set([tool.tool, tool.identifier, toolName(tool)].map(keyOf))];
}

function keyOf(name: string): string {
  return splitIdentifier(name).join('');
}
