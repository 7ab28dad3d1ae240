import { docComment, quote } from './comment.ts';
import { docParagraphs } from './doc-paragraphs.ts';
import type { Declaration, ObjectType, Property, TupleType, Type } from './type-model.ts';

const DEPRECATED = '@deprecated';

/** The declarations as exported type aliases. */
export function typescriptTypes(declarations: readonly Declaration[]): string {
  return declarations
    .map(
      ({ name, type, docs }) =>
        `${docComment(docParagraphs(docs, DEPRECATED))}export type ${name} = ${textOf(type)};\n`,
    )
    .join('\n');
}

function textOf(type: Type): string {
  switch (type.kind) {
    case 'integer':
      return 'number';
    case 'literal':
      return typeof type.value === 'string' ? quote(type.value) : String(type.value);
    case 'array':
      return `${tight(type.items)}[]`;
    case 'tuple':
      return tuple(type);
    case 'object':
      return object(type);
    case 'union':
      return [...new Set(type.members.map(tight))].join(' | ');
    case 'intersection':
      return [...new Set(type.members.map(tight))].join(' & ');
    case 'reference':
      return type.name;
    default:
      return type.kind;
  }
}

/** With parentheses where it needs them beside an operator. */
function tight(type: Type): string {
  return type.kind === 'union' || type.kind === 'intersection' ? `(${textOf(type)})` : textOf(type);
}

function tuple({ items, required, rest }: TupleType): string {
  const elements = items.map((item, index) => (index < required ? textOf(item) : `${tight(item)}?`));
  if (rest !== undefined) elements.push(`...${tight(rest)}[]`);
  return `[${elements.join(', ')}]`;
}

function object({ properties, others }: ObjectType): string {
  const lines = properties.map(property);
  // What is said of the unlisted ones must hold for the listed ones too, as TypeScript has it.
  if (others !== undefined) lines.push(`[key: string]: ${properties.length > 0 ? 'unknown' : textOf(others)};\n`);
  else if (properties.length === 0) lines.push('[key: string]: never;\n');
  return `{\n${lines.join('').replace(/^(?=.)/gm, '  ')}}`;
}

function property({ name, type, required, docs }: Property): string {
  const facts = isInteger(type) ? ['integer', ...docs.facts] : docs.facts;
  return `${docComment(docParagraphs({ ...docs, facts }, DEPRECATED))}${key(name)}${required ? '' : '?'}: ${textOf(type)};\n`;
}

/** TypeScript has no type for it. */
function isInteger(type: Type): boolean {
  if (type.kind !== 'union') return type.kind === 'integer';
  return type.members.some(isInteger) && type.members.every((member) => member.kind === 'null' || isInteger(member));
}

function key(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : quote(name);
}
