/** A piece of TypeScript source that is neither blank nor comment. */
export interface Token {
  readonly kind: 'word' | 'string' | 'template' | 'regex' | 'sign';
  /** Of a string, what is between the quotes. */
  readonly text: string;
  /** 1-based. */
  readonly line: number;
}

const BLANK = /\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\//y;
const WORD = /[\p{ID_Start}$_#][\p{ID_Continue}$]*|\d[\w.]*/uy;
const STRING = /'((?:[^'\\\n]|\\[\s\S])*)'|"((?:[^"\\\n]|\\[\s\S])*)"/y;
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
/** A template up to its end or to the next expression in it. */
const TEMPLATE = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(`|\$\{)/y;

/** Words after which a slash begins a regular expression, not a division. */
const BEFORE_REGEX = new Set([
  'return',
  'typeof',
  'case',
  'in',
  'of',
  'delete',
  'void',
  'throw',
  'new',
  'else',
  'await',
  'yield',
]);

/**
 * Splits TypeScript into tokens, so that what a comment, a string or a template says is not taken for code. The code inside a
 * template's `${…}` is code. Throws on what it cannot read.
 */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  /** For each open `${`, how many braces are open inside it. */
  const braces: number[] = [];
  let position = 0;
  let line = 1;

  function take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = position;
    const match = pattern.exec(source);
    if (match === null) return null;
    position = pattern.lastIndex;
    line += match[0].split('\n').length - 1;
    return match;
  }

  function takeTemplate(at: number): void {
    const match = take(TEMPLATE);
    if (match === null) throw new Error(`line ${at}: a template does not end`);
    tokens.push({ kind: 'template', text: match[0], line: at });
    if (match[1] === '${') braces.push(0);
  }

  while (position < source.length) {
    if (take(BLANK) !== null) continue;
    const at = line;
    const string = take(STRING);
    if (string !== null) {
      tokens.push({ kind: 'string', text: string[1] ?? string[2] ?? '', line: at });
      continue;
    }
    const word = take(WORD);
    if (word !== null) {
      tokens.push({ kind: 'word', text: word[0], line: at });
      continue;
    }
    const regex = source[position] === '/' && mayBeRegex(tokens.at(-1)) ? take(REGEX) : null;
    if (regex !== null) {
      tokens.push({ kind: 'regex', text: regex[0], line: at });
      continue;
    }
    const sign = source[position++] ?? '';
    if (sign === "'" || sign === '"') throw new Error(`line ${at}: a string does not end`);
    const open = braces.at(-1);
    if (sign === '`') takeTemplate(at);
    else if (sign === '}' && open === 0) {
      braces.pop();
      takeTemplate(at);
    } else {
      if (open !== undefined && sign === '{') braces[braces.length - 1] = open + 1;
      if (open !== undefined && sign === '}') braces[braces.length - 1] = open - 1;
      tokens.push({ kind: 'sign', text: sign, line: at });
    }
  }
  return tokens;
}

function mayBeRegex(before: Token | undefined): boolean {
  if (before === undefined) return true;
  if (before.kind === 'word') return BEFORE_REGEX.has(before.text);
  return before.kind === 'sign' && ![')', ']', '}'].includes(before.text);
}
