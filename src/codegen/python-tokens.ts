/** A piece of Python source. Comments, white space, and line ends within brackets or behind a backslash are none. */
export interface PythonToken {
  /** `other`: one character of an operator or a bracket, or a number. */
  readonly kind: 'name' | 'string' | 'newline' | 'other';
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** Brackets that are open around it. */
  readonly depth: number;
}

/** Cuts a source into tokens, as far as its quotes allow; it need not be correct Python. */
export function* pythonTokens(source: string): Generator<PythonToken> {
  let depth = 0;
  for (let at = 0; at < source.length; ) {
    const end = endOfPiece(source, at, 0);
    const text = source.slice(at, end);
    if (CLOSING.has(text)) depth = Math.max(0, depth - 1);
    const kind = kindOf(text);
    if (kind !== undefined && !(kind === 'newline' && depth > 0)) yield { kind, text, start: at, end, depth };
    if (OPENING.has(text)) depth += 1;
    at = end;
  }
}

const OPENING = new Set(['(', '[', '{']);
const CLOSING = new Set([')', ']', '}']);
const BLANK = /(?:[ \t\f\ufeff]|\\\r?\n)+|#[^\r\n]*/y;
const LINE_END = /\r\n?|\n/y;
const NUMBER = /[0-9][0-9A-Za-z_.]*/y;
const NAME = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{M}\p{Nd}\p{Pc}]*/uy;
const PREFIXED_STRING = /(?:[rbuft]|br|rb|[ft]r|r[ft])?(?:'''|"""|'|")/iy;

function kindOf(text: string): PythonToken['kind'] | undefined {
  if (matches(LINE_END, text, 0) > 0) return 'newline';
  if (matches(BLANK, text, 0) > 0) return undefined;
  if (matches(PREFIXED_STRING, text, 0) > 0) return 'string';
  return matches(NAME, text, 0) > 0 ? 'name' : 'other';
}

/** Replacement fields within one another that are followed; Python itself allows fewer. */
const MAX_NESTING = 200;

/** Where the blank, line end, string, name or other piece that begins at `at` ends; always behind `at`. */
function endOfPiece(source: string, at: number, nesting: number): number {
  const quote = matches(PREFIXED_STRING, source, at);
  if (quote > 0) return endOfString(source, at, at + quote, nesting);
  for (const pattern of [BLANK, LINE_END, NUMBER, NAME]) {
    const length = matches(pattern, source, at);
    if (length > 0) return at + length;
  }
  return at + 1;
}

/** `from` is behind the opening quote. A string that is not closed ends with its line, or with the source. */
function endOfString(source: string, start: number, from: number, nesting: number): number {
  const opening = source.slice(start, from);
  const quote = /['"]+$/.exec(opening)?.[0] ?? '';
  const isFormatted = /[ft]/i.test(opening.slice(0, -quote.length));
  for (let at = from; at < source.length; ) {
    const char = source[at];
    if (source.startsWith(quote, at)) return at + quote.length;
    if (char === '\n' && quote.length === 1) return at;
    if (char === '\\') at += source.startsWith('\r\n', at + 1) ? 3 : 2;
    else if (isFormatted && source.startsWith('{{', at)) at += 2;
    else if (isFormatted && char === '{') at = endOfReplacement(source, at + 1, nesting + 1);
    else at += 1;
  }
  return source.length;
}

/** Behind the brace that closes a replacement field, which may hold strings with the quotes of the one around it. */
function endOfReplacement(source: string, from: number, nesting: number): number {
  if (nesting > MAX_NESTING) return source.length;
  let depth = 0;
  for (let at = from; at < source.length; ) {
    const end = endOfPiece(source, at, nesting);
    const text = source.slice(at, end);
    if (depth === 0 && text === '}') return end;
    if (depth === 0 && text === ':') return endOfFormat(source, end, nesting);
    if (OPENING.has(text)) depth += 1;
    if (CLOSING.has(text)) depth -= 1;
    at = end;
  }
  return source.length;
}

/** As {@link endOfReplacement}, from the colon on, behind which quotes are characters like others. */
function endOfFormat(source: string, from: number, nesting: number): number {
  for (let at = from; at < source.length; ) {
    if (source[at] === '}') return at + 1;
    at = source[at] === '{' ? endOfReplacement(source, at + 1, nesting + 1) : at + 1;
  }
  return source.length;
}

/** Length of the match of a sticky pattern at `at`; 0 for none. */
function matches(pattern: RegExp, source: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.exec(source)?.[0].length ?? 0;
}
