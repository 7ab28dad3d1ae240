import { type Document, isMap, isScalar, parseDocument, stringify } from 'yaml';
import { WorkcellError } from '../core/errors.ts';

/** An MCP server as `config.yaml` names it: started by a command, or reached at a URL. */
export type ServerEntry =
  | {
      readonly command: string;
      readonly args?: readonly string[];
      readonly env?: Readonly<Record<string, string>>;
    }
  | { readonly url: string; readonly headers?: Readonly<Record<string, string>> };

const SECTION = 'mcpServers';

/**
 * The text of a `config.yaml` with one more MCP server, behind the last one; nothing else in it changes. Throws `already_exists`
 * for a name that is taken, and `invalid_config` for a text that cannot be read or has its servers in braces.
 */
export function withMcpServer(text: string, name: string, entry: ServerEntry): string {
  const document = parseDocument(text, { prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) throw unreadable(error.message);
  if (document.hasIn([SECTION, name])) {
    throw new WorkcellError('already_exists', `There is an MCP server "${name}" already; change it in the file`);
  }
  const { start, end, indent, before } = placeIn(document, text);
  const lines = stringify({ [name]: entry }, { lineWidth: 0 }).replace(/^(?=.)/gm, indent);
  return `${text.slice(0, start)}${before}${lines}${text.slice(end)}`;
}

interface PlaceInText {
  /** What lies between these offsets makes way. */
  readonly start: number;
  readonly end: number;
  readonly indent: string;
  /** What has to come before the entry. */
  readonly before: string;
}

function placeIn({ contents }: Document, text: string): PlaceInText {
  const break_ = text === '' || text.endsWith('\n') ? '' : '\n';
  const atEnd = { start: text.length, end: text.length, indent: '  ', before: `${break_}${SECTION}:\n` };
  if (contents === null || (isScalar(contents) && contents.value === null)) return atEnd;
  if (!isMap(contents)) throw unreadable('it does not hold keys and values');
  if (contents.flow === true) throw unreadable('it is written in braces; write its keys on lines of their own first');
  const section = contents.items.find(({ key }) => isScalar(key) && key.value === SECTION);
  if (section === undefined) return atEnd;
  const { key, value } = section;
  if (isMap(value) && value.flow !== true) {
    const [first, last] = [value.items[0], value.items.at(-1)];
    const end = lineEnd(text, rangeOf(last?.value ?? last?.key)[1]);
    const start = rangeOf(first?.key)[0];
    return {
      start: end,
      end,
      indent: ' '.repeat(start - lineStart(text, start)),
      before: text[end - 1] === '\n' ? '' : '\n',
    };
  }
  const isEmpty =
    value === null || (isScalar(value) && value.value === null) || (isMap(value) && value.items.length === 0);
  if (!isEmpty) throw unreadable(`${SECTION} is written in braces; write a server on lines of its own first`);
  const colon = text.indexOf(':', rangeOf(key)[1]) + 1;
  const end = isMap(value) ? rangeOf(value)[1] : colon;
  return {
    start: colon,
    end: lineEnd(text, end),
    indent: '  ',
    before: `${text.slice(end, lineEnd(text, end)).trimEnd()}\n`,
  };
}

/** Behind the line break of the line, or at the end of the text. */
function lineEnd(text: string, offset: number): number {
  if (offset > 0 && text[offset - 1] === '\n') return offset;
  const found = text.indexOf('\n', offset);
  return found === -1 ? text.length : found + 1;
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1;
}

function rangeOf(node: unknown): readonly [number, number] {
  const range = (node as { range?: readonly [number, number, number] | null } | null | undefined)?.range;
  if (range === undefined || range === null) throw unreadable(`${SECTION} cannot be found in it`);
  return [range[0], range[1]];
}

function unreadable(why: string): WorkcellError {
  return new WorkcellError('invalid_config', `A server cannot be added to the configuration: ${why}`);
}
