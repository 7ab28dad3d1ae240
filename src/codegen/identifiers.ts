import { createHash } from 'node:crypto';
import type { Language } from '../core/execution.ts';
import { PYTHON_KEYWORDS } from '../core/python-package.ts';

/**
 * An identifier for each tool name of one server: in camelCase for TypeScript, in snake_case for Python.
 *
 * Identifiers also name files and types, so they differ from one another in more than case, and none is a word or a
 * global that a program needs. Of names that would share one, the name that is spelled exactly so keeps it and the others
 * carry a hash of their name: whatever is added, removed or reordered, an identifier never comes to mean another tool.
 */
export function assignIdentifiers(
  names: readonly string[],
  language: Language = 'typescript',
): ReadonlyMap<string, string> {
  const style = STYLES[language];
  const drafts = [...new Set(names)].map((name) => ({ name, identifier: identifierOf(name, style) }));
  const assigned = withHashes(drafts, 8);
  return isUnique(assigned) ? assigned : withHashes(drafts, 64);
}

/** The words of a name in whatever case, in lower case. */
export function wordsOf(name: string): string[] {
  const words = name.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+/g) ?? [];
  return words.map((word) => word.toLowerCase());
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

/** Keywords, built-in functions that programs use, and what a program of Workcell gives its value with. */
const PYTHON_RESERVED = new Set([
  ...PYTHON_KEYWORDS,
  ...`abs aiter all anext any ascii bin bool breakpoint bytearray bytes callable chr classmethod compile complex delattr
  dict dir divmod enumerate eval exec exit filter float format frozenset getattr globals hasattr hash help hex id input
  int isinstance issubclass iter len list locals map max memoryview min next object oct open ord pow print property quit
  range repr reversed round set setattr slice sorted staticmethod str sum super tuple type vars zip
  annotations call_tool emit importlib result self servers sys`.split(/\s+/),
]);

interface Style {
  readonly join: (words: readonly string[]) => string;
  readonly reserved: ReadonlySet<string>;
}

const STYLES: Readonly<Record<Language, Style>> = {
  typescript: { join: camelCase, reserved: RESERVED },
  python: { join: (words) => words.join('_'), reserved: PYTHON_RESERVED },
};

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

function identifierOf(name: string, { join, reserved }: Style): string {
  const plain = name.slice(0, MAX_LENGTH).normalize('NFKD').replace(/\p{M}/gu, '');
  const words = wordsOf(plain);
  const joined = join(words);
  const identifier = /^[a-z]/.test(joined) ? joined : join(['tool', ...words]);
  return reserved.has(identifier) ? `${identifier}_` : identifier;
}

function camelCase([first = '', ...rest]: readonly string[]): string {
  return first + rest.map(pascalCase).join('');
}
