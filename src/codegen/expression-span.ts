/**
 * Where the arithmetic expression ends that starts at `start`: numbers with operators between them, parentheses and
 * functions. Undefined when none starts there, which includes a single number.
 */
export function expressionEnd(text: string, start: number): number | undefined {
  if (/\s/.test(text.charAt(start)) || /[\w.]/.test(text.charAt(start - 1))) return undefined;
  let position = start;
  let depth = 0;
  let operations = 0;
  let wantsOperand = true;
  let end: number | undefined;
  for (;;) {
    const token = tokenAt(text, position);
    if (token === undefined) return end;
    const { kind, length } = token;
    if (wantsOperand) {
      if (kind === 'open' || kind === 'function') depth += 1;
      else if (kind === 'operand') wantsOperand = false;
      else if (kind !== 'sign') return end;
      if (kind === 'function') operations += 1;
    } else if (kind === 'sign' || kind === 'operator' || (kind === 'comma' && depth > 0)) {
      wantsOperand = true;
      operations += 1;
    } else if (kind === 'close' && depth > 0) {
      depth -= 1;
    } else {
      return end;
    }
    position += length;
    if (!wantsOperand && depth === 0 && operations > 0) end = position;
  }
}

type Kind = 'operand' | 'function' | 'open' | 'close' | 'comma' | 'sign' | 'operator';

const TOKENS: readonly (readonly [Kind, RegExp])[] = [
  ['operand', /\s*(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?(?!\w|\.\d)|\s*(?:pi|tau)\b/iy],
  ['function', /\s*(?:sqrt|cbrt|abs|round|floor|ceil|min|max|pow|exp|ln|log2|log10|log|sin|cos|tan)\(/iy],
  ['open', /\s*\(/y],
  ['close', /\s*\)/y],
  ['comma', /\s*,/y],
  ['sign', /\s*[-+−]/y],
  ['operator', /\s*(?:\*\*|[*/%^×÷·])/y],
];

function tokenAt(text: string, position: number): { kind: Kind; length: number } | undefined {
  for (const [kind, pattern] of TOKENS) {
    pattern.lastIndex = position;
    const match = pattern.exec(text);
    if (match !== null) return { kind, length: match[0].length };
  }
  return undefined;
}
