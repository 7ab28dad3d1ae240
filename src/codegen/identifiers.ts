import { createHash } from 'node:crypto';

/**
 * A TypeScript identifier in camelCase for each tool name of one server.
 *
 * Identifiers also name files and types, so they differ from one another in more than case, and none is a word or a
 * global that a program needs. Of names that would share one, the name that is spelled exactly so keeps it and the others
 * carry a hash of their name: whatever is added, removed or reordered, an identifier never comes to mean another tool.
 */
export function assignIdentifiers(names: readonly string[]): Map<string, string> {
  const drafts = [...new Set(names)].map((name) => ({ name, identifier: camelCase(name) }));
  const assigned = withHashes(drafts, 8);
  return isUnique(assigned) ? assigned : withHashes(drafts, 64);
}

/** The name of a type that belongs to `identifier`. */
export function pascalCase(identifier: string): string {
  return identifier.charAt(0).toUpperCase() + identifier.slice(1);
}

interface Draft {
  readonly name: string;
  readonly identifier: string;
}

/** Longer names are cut; file systems end at 255 bytes. */
const MAX_LENGTH = 64;

/** Words that cannot be a binding, and bindings that would hide what programs, wrappers or their files rely on. */
const RESERVED = new Set(
  `arguments as async await break case catch class const continue debugger default delete do else enum eval export
  extends false finally for function if implements import in instanceof interface let new null package private protected
  public return static super switch this throw true try type typeof undefined var void while with yield
  atob btoa clearImmediate clearInterval clearTimeout console crypto decodeURI decodeURIComponent encodeURI
  encodeURIComponent escape exports fetch global globalThis isFinite isNaN module navigator parseFloat parseInt
  performance process queueMicrotask require setImmediate setInterval setTimeout structuredClone unescape
  callTool index then`.split(/\s+/),
);

function withHashes(drafts: readonly Draft[], digits: number): Map<string, string> {
  const sharing = Map.groupBy(drafts, ({ identifier }) => identifier.toLowerCase());
  return new Map(
    drafts.map((draft) => {
      const others = sharing.get(draft.identifier.toLowerCase())?.filter((other) => other !== draft) ?? [];
      return [draft.name, keepsIdentifier(draft, others) ? draft.identifier : hashed(draft, digits)];
    }),
  );
}

function keepsIdentifier(draft: Draft, others: readonly Draft[]): boolean {
  if (others.length === 0) return isFaithful(draft.name);
  return isExact(draft) && !others.some(isExact);
}

function isExact({ name, identifier }: Draft): boolean {
  return name === identifier;
}

/** Whether the name's letters all survive in the identifier. */
function isFaithful(name: string): boolean {
  return name.length <= MAX_LENGTH && /^[\x20-\x7e]*[A-Za-z0-9][\x20-\x7e]*$/.test(name);
}

function hashed({ name, identifier }: Draft, digits: number): string {
  return `${identifier}_${createHash('sha256').update(name).digest('hex').slice(0, digits)}`;
}

function isUnique(identifiers: ReadonlyMap<string, string>): boolean {
  return new Set([...identifiers.values()].map((identifier) => identifier.toLowerCase())).size === identifiers.size;
}

function camelCase(name: string): string {
  const plain = name.slice(0, MAX_LENGTH).normalize('NFKD').replace(/\p{M}/gu, '');
  const words = plain.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+/g) ?? [];
  const [first = '', ...rest] = words.map((word) => word.toLowerCase());
  const joined = first + rest.map(pascalCase).join('');
  const identifier = /^[a-z]/.test(joined) ? joined : `tool${joined}`;
  return RESERVED.has(identifier) ? `${identifier}_` : identifier;
}
