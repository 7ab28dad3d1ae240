/** Why an expression has no value. `position` counts its characters from 1. */
export class ExpressionError extends Error {
  readonly code: 'invalid_arguments' | 'division_by_zero';
  readonly position: number;

  constructor(code: ExpressionError['code'], message: string, position: number) {
    super(`${message} at position ${position}`);
    this.name = 'ExpressionError';
    this.code = code;
    this.position = position;
  }
}

/**
 * The value of an arithmetic expression, in double precision; it may be infinite or not a number.
 *
 * Operators, loosest first: `+ -`, then `* / %` (the remainder has the sign of its left side), then signs, then `^` or
 * `**` (from right to left; -2^2 is -4). Numbers may have decimals and an exponent. There are the constants `pi`, `e`
 * and `tau`, and functions, `log` being the natural logarithm and angles being in radians. Throws an ExpressionError for
 * anything else, for a division by zero, and beyond 100 levels of nesting.
 */
export function evaluateExpression(text: string): number {
  const parser = new Parser(text);
  return parser.parse();
}

const MAX_DEPTH = 100;

const CONSTANTS = new Map([
  ['pi', Math.PI],
  ['e', Math.E],
  ['tau', 2 * Math.PI],
]);

interface Callable {
  readonly least: number;
  readonly most: number;
  readonly call: (...values: number[]) => number;
}

const UNARY = [
  ...(['abs', 'sign', 'sqrt', 'cbrt', 'round', 'floor', 'ceil', 'trunc', 'exp', 'log', 'log2', 'log10'] as const),
  ...(['sin', 'cos', 'tan', 'asin', 'acos', 'atan'] as const),
];

const FUNCTIONS = new Map<string, Callable>([
  ...UNARY.map((name) => [name, { least: 1, most: 1, call: (x: number) => Math[name](x) }] as const),
  ['ln', { least: 1, most: 1, call: Math.log }],
  ['pow', { least: 2, most: 2, call: (base: number, exponent: number) => base ** exponent }],
  ['min', { least: 1, most: Number.POSITIVE_INFINITY, call: Math.min }],
  ['max', { least: 1, most: Number.POSITIVE_INFINITY, call: Math.max }],
]);

const TOKEN =
  /\s*(?:(?<number>(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)|(?<name>[a-z_]\w*)|(?<symbol>\*\*|[-+*/%^(),×·÷−])|$)/iy;
const SPELLINGS = new Map([
  ['**', '^'],
  ['×', '*'],
  ['·', '*'],
  ['÷', '/'],
  ['−', '-'],
]);

interface Token {
  readonly kind: 'number' | 'name' | 'symbol' | 'end';
  readonly text: string;
  readonly position: number;
}

/** Recursive descent, one method per level of precedence, computing as it reads. */
class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(text: string) {
    this.#tokens = tokenize(text);
  }

  parse(): number {
    const value = this.#sum();
    if (this.#token.kind !== 'end') throw unexpected(this.#token, 'an operator');
    return value;
  }

  #sum(): number {
    let value = this.#product();
    for (;;) {
      if (this.#take('+')) value += this.#product();
      else if (this.#take('-')) value -= this.#product();
      else return value;
    }
  }

  #product(): number {
    let value = this.#signed();
    for (;;) {
      const { position } = this.#token;
      if (this.#take('*')) value *= this.#signed();
      else if (this.#take('/')) value /= nonZero(this.#signed(), position);
      else if (this.#take('%')) value %= nonZero(this.#signed(), position);
      else return value;
    }
  }

  #signed(): number {
    return this.#nested(() => {
      if (this.#take('-')) return -this.#signed();
      if (this.#take('+')) return this.#signed();
      return this.#power();
    });
  }

  #power(): number {
    const base = this.#primary();
    const { position } = this.#token;
    if (!this.#take('^')) return base;
    const exponent = this.#signed();
    if (exponent < 0) nonZero(base, position);
    return base ** exponent;
  }

  #primary(): number {
    const token = this.#advance();
    if (token.kind === 'number') return Number(token.text);
    if (token.kind === 'name') return this.#named(token);
    if (token.text !== '(') throw unexpected(token, 'a number');
    const value = this.#sum();
    this.#close();
    return value;
  }

  #named(token: Token): number {
    const name = token.text.toLowerCase();
    const constant = CONSTANTS.get(name);
    if (constant !== undefined) return constant;
    const found = FUNCTIONS.get(name);
    if (found === undefined)
      throw new ExpressionError('invalid_arguments', `"${token.text}" is not known`, token.position);
    if (!this.#take('(')) throw unexpected(this.#token, `"(" after "${token.text}"`);
    const values = [this.#sum()];
    while (this.#take(',')) values.push(this.#sum());
    this.#close();
    if (values.length >= found.least && values.length <= found.most) return found.call(...values);
    const wanted = found.least === 1 ? 'one value' : `${found.least} values`;
    throw new ExpressionError(
      'invalid_arguments',
      `"${token.text}" takes ${wanted}, not ${values.length}`,
      token.position,
    );
  }

  #nested(read: () => number): number {
    if (this.#depth === MAX_DEPTH) {
      const message = `The expression is nested more than ${MAX_DEPTH} levels deep`;
      throw new ExpressionError('invalid_arguments', message, this.#token.position);
    }
    this.#depth += 1;
    const value = read();
    this.#depth -= 1;
    return value;
  }

  #close(): void {
    if (!this.#take(')')) throw unexpected(this.#token, '")" or an operator');
  }

  #take(symbol: string): boolean {
    if (this.#token.kind !== 'symbol' || this.#token.text !== symbol) return false;
    this.#next += 1;
    return true;
  }

  #advance(): Token {
    const token = this.#token;
    if (token.kind !== 'end') this.#next += 1;
    return token;
  }

  get #token(): Token {
    return this.#tokens[this.#next] as Token;
  }
}

/** The last token is always the end, so that a parser never runs past it. */
function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const pattern = new RegExp(TOKEN);
  for (;;) {
    const from = pattern.lastIndex;
    const match = pattern.exec(text);
    if (match === null) {
      const position = from + (text.slice(from).match(/^\s*/)?.[0].length ?? 0) + 1;
      const shown = JSON.stringify(String.fromCodePoint(text.codePointAt(position - 1) ?? 0));
      throw new ExpressionError('invalid_arguments', `${shown} is not part of arithmetic`, position);
    }
    const { number, name, symbol } = match.groups ?? {};
    const found = number ?? name ?? symbol ?? '';
    const kind =
      number !== undefined ? 'number' : name !== undefined ? 'name' : symbol !== undefined ? 'symbol' : 'end';
    tokens.push({ kind, text: SPELLINGS.get(found) ?? found, position: pattern.lastIndex - found.length + 1 });
    if (kind === 'end') return tokens;
  }
}

function nonZero(divisor: number, position: number): number {
  if (divisor !== 0) return divisor;
  throw new ExpressionError('division_by_zero', 'There is a division by zero', position);
}

function unexpected(token: Token, wanted: string): ExpressionError {
  const found = token.kind === 'end' ? 'the end' : `"${token.text}"`;
  return new ExpressionError('invalid_arguments', `Expected ${wanted}, found ${found}`, token.position);
}
