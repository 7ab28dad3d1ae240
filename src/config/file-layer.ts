import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, type Pair, parseDocument } from 'yaml';
import { customerValuesIn } from '../util/customer-value.ts';
import { interpolate } from './interpolate.ts';
import type { Entry, Problem } from './layer.ts';

export interface FileLayerOptions {
  /** The file's name, for origins. */
  readonly name: string;
  /** What `${NAME}` stands for. */
  readonly variables: Readonly<Record<string, string | undefined>>;
}

export interface FileLayer {
  readonly entries: readonly Entry[];
  readonly problems: readonly Problem[];
}

/** The deepest key is `mcpServers.<name>.env.<VARIABLE>`; what lies deeper is a value, and never a valid one. */
const MAX_DEPTH = 4;

/** Where values can differ from customer to customer. */
const DIFFERS = /^mcpServers\.[^.]+\.(?:env\.|headers\.|args\b)/;

/** Reads the text of a `config.yaml`; reports every problem of its syntax, or else of its variables. */
export function readFileLayer(text: string, options: FileLayerOptions): FileLayer {
  const lines = new LineCounter();
  // A pretty error quotes the line, and a line can hold a secret.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const entries: Entry[] = [];
  const problems: Problem[] = [];
  const originAt = (offset: number) => `${options.name}:${lines.linePos(offset).line}`;

  const readMap = (pairs: readonly Pair[], above: readonly string[]) => {
    for (const { key, value } of pairs) {
      const name = isScalar(key) ? String(key.value) : String(key);
      readValue(value, [...above, name], originAt(isNode(key) ? (key.range?.[0] ?? 0) : 0));
    }
  };
  const readValue = (node: unknown, path: readonly string[], origin: string) => {
    const target = isAlias(node) ? node.resolve(document) : node;
    if (isMap(target) && target.items.length > 0 && path.length < MAX_DEPTH) return readMap(target.items, path);
    const value = replaced(target, path.join('.'), origin);
    // A section whose keys are all commented out is an empty one.
    entries.push({ path, origin, written: plain(target), value: path.length === 1 ? (value ?? {}) : value });
  };
  const replaced = (node: unknown, key: string, origin: string): unknown => {
    if (isSeq(node))
      return node.items.map((item, index) => replaced(item, `${key}[${index}]`, itemOrigin(item, origin)));
    const value = plain(node);
    if (typeof value !== 'string') return value;
    const result = interpolate(value, options.variables);
    problems.push(...result.problems.map((message) => ({ key, origin, message })));
    if (!DIFFERS.test(key) && customerValuesIn(result.value).length > 0) {
      const message = 'is the same for all customers; what differs belongs into env, headers or args of an MCP server';
      problems.push({ key, origin, message });
    }
    return result.value;
  };
  const itemOrigin = (item: unknown, fallback: string) =>
    isNode(item) && item.range ? originAt(item.range[0]) : fallback;

  const root = document.contents;
  if (document.errors.length > 0) {
    problems.push(...document.errors.map(({ pos, message }) => ({ key: '', origin: originAt(pos[0]), message })));
  } else if (isMap(root)) {
    readMap(root.items, []);
  } else if (root !== null && !(isScalar(root) && root.value === null)) {
    problems.push({ key: '', origin: originAt(0), message: 'must hold keys and values, such as "paths:"' });
  }
  return { entries, problems };
}

/** A node's value; a map or an alias where a value belongs is left for the schema to refuse. */
function plain(node: unknown): unknown {
  if (isScalar(node)) return node.value;
  if (isSeq(node)) return node.items.map(plain);
  return isMap(node) ? {} : null;
}
