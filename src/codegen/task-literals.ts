import { expressionEnd } from './expression-span.ts';

/** A value that a task spells out. */
export interface TaskLiteral {
  readonly kind: 'number' | 'text' | 'expression';
  /** A number without thousands separators, the inside of quotes, or an expression as it stands. */
  readonly value: string;
  /** Where it stands in the task. */
  readonly start: number;
  readonly end: number;
}

export interface TaskLiterals {
  /** In the order of the task. */
  readonly literals: readonly TaskLiteral[];
  /** Digits that are part of something else, such as a date or `5km`; empty when all are understood. */
  readonly unread: readonly string[];
}

/** The quoted texts, paths, addresses, arithmetic expressions and numbers of a task. */
export function readLiterals(task: string): TaskLiterals {
  const literals: TaskLiteral[] = [];
  let rest = task;
  const take = (kind: TaskLiteral['kind'], value: string, start: number, end: number) => {
    literals.push({ kind, value, start, end });
    rest = rest.slice(0, start) + ' '.repeat(end - start) + rest.slice(end);
  };
  for (const match of task.matchAll(QUOTED)) {
    take('text', match.slice(1).find((text) => text !== undefined) ?? '', match.index, match.index + match[0].length);
  }
  for (const { 0: path, index } of rest.matchAll(PATH)) take('text', path, index, index + path.length);
  for (const { start, end } of expressions(rest))
    take('expression', withoutSeparators(rest.slice(start, end)), start, end);
  for (const { 0: number, index } of rest.matchAll(NUMBER)) {
    take('number', withoutSeparators(number).replace(/^(-?)0+(?=\d)/, '$1'), index, index + number.length);
  }
  literals.sort((a, b) => a.start - b.start);
  return { literals, unread: rest.match(DIGITS) ?? [] };
}

const QUOTED = /"([^"]*)"|“([^”]*)”|`([^`]*)`|(?<!\w)'([^']*)'(?!\w)/g;
/** An address, or a path from the root, from here or from the parent folder; not the full stop behind it. */
const PATH = /(?<![^\s(=:])(?:https?:\/\/|\.{0,2}\/)[^\s"'`()]*[^\s"'`().,;:?!]/g;
/** A number that stands alone: not part of a word, a date, a time, a version, a range or a percentage. */
const NUMBER =
  /(?<![^\s([{=:,$€£]|\d[:,])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?(?=[\s)\]},;:?!]|\.(?!\d)|$)(?![:,]\d)/gi;
const DIGITS = /(?<![\p{L}\d_])\d\S*/gu;
const DATE = /\b\d{4}-\d{1,2}-\d{1,2}\b/;

function* expressions(text: string): Generator<{ start: number; end: number }> {
  for (let start = 0; start < text.length; start += 1) {
    const end = expressionEnd(text, start);
    if (end === undefined) continue;
    if (!DATE.test(text.slice(start, end))) yield { start, end };
    start = end;
  }
}

function withoutSeparators(text: string): string {
  return text.replace(/\d{1,3}(?:,\d{3})+(?!\d)/g, (number) => number.replaceAll(',', ''));
}
