import { isFields, isString } from '../core/fields.ts';
import { resolvePointer } from './json-pointer.ts';

/** A larger schema is not searched for anchors to its end. */
const MAX_PARTS = 20_000;

/** What the references of one schema lead to: pointers, anchors and ids in it. Nothing is fetched from elsewhere. */
export class SchemaReferences {
  readonly #root: unknown;
  /** Parts that have a name of their own. */
  #named: ReadonlyMap<string, unknown> | undefined;

  constructor(root: unknown) {
    this.#root = root;
  }

  /** Undefined for a reference that leads nowhere. */
  resolve(reference: string): unknown {
    if (reference === '#' || reference.startsWith('#/')) return resolvePointer(this.#root, reference);
    const hash = reference.indexOf('#');
    const fragment = hash === -1 ? '' : reference.slice(hash);
    const document = hash === -1 ? reference : reference.slice(0, hash);
    if (document === '') return this.#parts().get(fragment);
    const part = this.#parts().get(document);
    return fragment === '' || fragment === '#' || part === undefined ? part : resolvePointer(part, fragment);
  }

  #parts(): ReadonlyMap<string, unknown> {
    this.#named ??= namedParts(this.#root);
    return this.#named;
  }
}

function namedParts(root: unknown): ReadonlyMap<string, unknown> {
  const named = new Map<string, unknown>();
  const waiting: unknown[] = [root];
  for (let seen = 0; seen < waiting.length && seen < MAX_PARTS; seen += 1) {
    const part = waiting[seen];
    if (typeof part !== 'object' || part === null) continue;
    if (isFields(part)) {
      const { $id, $anchor, $dynamicAnchor } = part;
      for (const anchor of [$anchor, $dynamicAnchor]) if (isString(anchor)) named.set(`#${anchor}`, part);
      if (isString($id)) named.set($id.replace(/#$/, ''), part);
    }
    if (waiting.length < MAX_PARTS) for (const child of Object.values(part)) waiting.push(child);
  }
  return named;
}
