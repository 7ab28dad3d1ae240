import { PYTHON_KEYWORDS } from '../core/python-package.ts';
import { docParagraphs } from './doc-paragraphs.ts';
import { pascalCase } from './identifiers.ts';
import { TypeMerger } from './merge-types.ts';
import { docstring, isPythonName, pythonComment, pythonString } from './python-text.ts';
import type { Declaration, Docs, ObjectType, Property, Type } from './type-model.ts';

const DEPRECATED = 'Deprecated';

/** What is imported from `typing`, under these names, which no type of a module may take. */
const TYPING = ['Any', 'Dict', 'List', 'Literal', 'NoReturn', 'Optional', 'TypedDict', 'Union'] as const;
/** Intersections within one another that are written out. */
const MAX_FLATTENING = 8;
type Typing = (typeof TYPING)[number];

/**
 * The types of one Python module, for Python 3.9 and later, from `typing` alone.
 *
 * An object with properties becomes a TypedDict with a name, after the property or declaration that it belongs to: a
 * part of the functional form where a key is no identifier. Tuples are lists, as JSON has them; what a checker of Python
 * cannot know of a TypedDict, such as further keys, is left out.
 */
export class PythonTypes {
  readonly merger: TypeMerger;
  /** Names in the module of declarations that are used. */
  readonly #names = new Map<string, string>();
  readonly #taken: Set<string>;
  readonly #classes: string[] = [];
  readonly #aliases: string[] = [];
  /** Names of the classes for objects without a declaration, by what they are. */
  readonly #lifted = new Map<string, string>();
  #flattening = 0;
  readonly #waiting: { readonly declaration: Declaration; readonly name: string }[] = [];
  readonly #typing = new Set<Typing>();

  /** `taken` are names that other parts of the module have. */
  constructor(declarations: readonly Declaration[], taken: readonly string[]) {
    this.merger = new TypeMerger(declarations);
    this.#taken = new Set([...TYPING, ...PYTHON_KEYWORDS, ...taken]);
  }

  /** The type as an annotation, in a module that does not evaluate annotations. `label` names what has to have a name. */
  annotation(type: Type, label: string): string {
    return this.#text(type, label, (name) => name);
  }

  /** Makes sure that a declaration has exactly this name in the module. */
  declare(declaration: Declaration, name: string): void {
    this.#taken.add(name);
    this.#names.set(declaration.name, name);
    this.#waiting.push({ declaration, name });
  }

  use(name: Typing): Typing {
    this.#typing.add(name);
    return name;
  }

  /** The import from `typing`. Complete when {@link definitions} has been called. */
  imports(): string {
    const names = [...this.#typing].sort();
    return names.length === 0 ? '' : `from typing import ${names.join(', ')}\n`;
  }

  /** All types that the annotations so far need, in an order in which Python can evaluate them. */
  definitions(): readonly string[] {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift())
      this.#define(next.declaration, next.name);
    return [...this.#classes, ...this.#aliases];
  }

  #text(type: Type, label: string, named: (name: string) => string): string {
    switch (type.kind) {
      case 'unknown':
        return this.use('Any');
      case 'never':
        return this.use('NoReturn');
      case 'null':
        return 'None';
      case 'boolean':
        return 'bool';
      case 'integer':
        return 'int';
      case 'number':
        return 'float';
      case 'string':
        return 'str';
      case 'literal':
        return this.#union([type], label, named);
      case 'array':
        return `${this.use('List')}[${this.#text(type.items, singular(label), named)}]`;
      case 'tuple':
        return `${this.use('List')}[${this.#union([...type.items, ...(type.rest === undefined ? [] : [type.rest])], singular(label), named)}]`;
      case 'object':
        return this.#object(type, label, named);
      case 'union':
        return this.#union(type.members, label, named);
      case 'intersection':
        return this.#flattened(type, label, named);
      case 'reference':
        return named(this.#nameOf(type.name));
    }
  }

  #flattened(type: Type, label: string, named: (name: string) => string): string {
    // What is flattened takes the place of references, and so can go on without end.
    if (this.#flattening >= MAX_FLATTENING) return this.use('Any');
    this.#flattening += 1;
    const text = this.#text(this.merger.flat(type), label, named);
    this.#flattening -= 1;
    return text;
  }

  #object({ properties, others }: ObjectType, label: string, named: (name: string) => string): string {
    if (properties.length > 0) {
      const key = `${label} ${JSON.stringify(properties)}`;
      const known = this.#lifted.get(key);
      if (known !== undefined) return named(known);
      const name = this.#freeName(label);
      this.#lifted.set(key, name);
      this.#classes.push(this.#typedDict(name, properties, NO_DOCS));
      return named(name);
    }
    const values = others === undefined ? this.use('Any') : this.#text(others, `${singular(label)}Value`, named);
    return `${this.use('Dict')}[str, ${values}]`;
  }

  #union(types: readonly Type[], label: string, named: (name: string) => string): string {
    if (types.some(({ kind }) => kind === 'unknown')) return this.use('Any');
    const literals = types.flatMap((type) => (type.kind === 'literal' ? [type.value] : []));
    const exact = literals.filter((value) => typeof value !== 'number' || Number.isSafeInteger(value));
    const others = types.filter(({ kind }) => kind !== 'literal' && kind !== 'null' && kind !== 'never');
    const texts = new Set(
      others.map((type, index) => this.#text(type, index === 0 ? label : `${label}${index + 1}`, named)),
    );
    if (texts.has('Any')) return this.use('Any');
    if (exact.length > 0) texts.add(`${this.use('Literal')}[${exact.map(literal).join(', ')}]`);
    // Literal takes no fractions.
    if (exact.length < literals.length) texts.add('float');
    const [only = ''] = texts;
    const union = texts.size > 1 ? `${this.use('Union')}[${[...texts].join(', ')}]` : only;
    if (!types.some(({ kind }) => kind === 'null')) return texts.size > 0 ? union : this.use('NoReturn');
    return texts.size > 0 ? `${this.use('Optional')}[${union}]` : 'None';
  }

  #nameOf(reference: string): string {
    const known = this.#names.get(reference);
    if (known !== undefined) return known;
    const declaration = this.merger.find(reference);
    if (declaration === undefined) return this.use('Any');
    const name = this.#freeName(declaration.label);
    this.#names.set(reference, name);
    this.#waiting.push({ declaration, name });
    return name;
  }

  #define({ type, docs }: Declaration, name: string): void {
    const whole = this.merger.resolved(type);
    const isClass = whole.kind === 'object' && whole.properties.length > 0;
    if (isClass && type.kind !== 'reference') {
      // Its place is before the classes that it needs: the first of a module is what the module is about.
      const index = this.#classes.push('') - 1;
      this.#classes[index] = this.#typedDict(name, whole.properties, docs);
      return;
    }
    // What stands in an alias may be defined below it, or be the alias itself; a class never is.
    const text = isClass ? this.#text(type, name, (other) => other) : this.#text(whole, name, pythonString);
    this.#aliases.push(`${pythonComment(docParagraphs(docs, DEPRECATED), '')}${name} = ${text}\n`);
  }

  #typedDict(name: string, properties: readonly Property[], docs: Docs): string {
    const typedDict = this.use('TypedDict');
    const fields = properties.map((property) => this.#field(property, name));
    const doc = docstring(docParagraphs(docs, DEPRECATED), '    ');
    const required = fields.filter((field) => field.required);
    const optional = fields.filter((field) => !field.required);
    if (!fields.every(({ name: key }) => isPythonName(key))) {
      // The functional form has no place for documentation, and none for keys of both kinds.
      const parts = [
        { part: required, total: '' },
        { part: optional, total: ', total=False' },
      ].filter(({ part }) => part.length > 0);
      const bases = parts.map(({ part, total }, index) => {
        const base = this.#freeName(`_${name}${index === 0 ? 'Keys' : 'Optional'}`);
        const entries = part.map(
          ({ comment, name: key, text }) => `${comment}    ${pythonString(key)}: ${pythonString(text)},\n`,
        );
        return { base, text: `${base} = ${typedDict}(${pythonString(base)}, {\n${entries.join('')}}${total})\n\n\n` };
      });
      const heading = `class ${name}(${bases.map(({ base }) => base).join(', ')}):\n`;
      return `${bases.map(({ text }) => text).join('')}${heading}${doc || '    pass\n'}`;
    }
    const lines = (part: typeof fields) =>
      part.map(({ comment, name: key, text }) => `${comment}    ${key}: ${text}\n`).join('');
    if (optional.length === 0) return `class ${name}(${typedDict}):\n${doc}${lines(required)}`;
    if (required.length === 0) return `class ${name}(${typedDict}, total=False):\n${doc}${lines(optional)}`;
    const base = this.#freeName(`_${name}Keys`);
    return `class ${base}(${typedDict}):\n${lines(required)}\n\nclass ${name}(${base}, total=False):\n${doc}${lines(optional)}`;
  }

  #field({ name, type, required, docs }: Property, owner: string) {
    return {
      name,
      required,
      text: this.annotation(type, labelOf(name) || `${owner}Value`),
      comment: pythonComment(docParagraphs(docs, DEPRECATED), '    '),
    };
  }

  #freeName(wanted: string): string {
    const start = /^[A-Za-z_]/.test(wanted) ? wanted : `Type${wanted}`;
    let name = start;
    for (let number = 2; this.#taken.has(name); number += 1) name = `${start}${number}`;
    this.#taken.add(name);
    return name;
  }
}

const NO_DOCS: Docs = { description: '', facts: [], deprecated: false };

/** What a type is called that belongs to a property or parameter, in PascalCase; empty when the name has no letters. */
export function labelOf(name: string): string {
  const words = name.slice(0, 80).match(/[A-Za-z0-9]+/g) ?? [];
  return words.map(pascalCase).join('');
}

/** What one of several is called. */
function singular(label: string): string {
  if (/[^aeiou]ies$/i.test(label)) return `${label.slice(0, -3)}y`;
  if (/(?:ss|x|ch|sh)es$/i.test(label)) return label.slice(0, -2);
  return /[^sui]s$/i.test(label) ? label.slice(0, -1) : `${label}Item`;
}

function literal(value: string | number | boolean): string {
  if (typeof value === 'string') return pythonString(value);
  return typeof value === 'number' ? String(value) : value ? 'True' : 'False';
}
