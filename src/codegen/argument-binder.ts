import type { Parameter } from './parameters.ts';
import type { TaskLiteral } from './task-literals.ts';

/** Decides which literal of a task fills which parameter, from the surest evidence to the least. */
export class ArgumentBinder {
  readonly #task: string;
  readonly #left: Set<TaskLiteral>;
  readonly #values = new Map<string, string>();

  constructor(task: string, literals: readonly TaskLiteral[]) {
    this.#task = task;
    this.#left = new Set(literals);
  }

  /** The bound values as JavaScript, by parameter name. */
  get values(): ReadonlyMap<string, string> {
    return this.#values;
  }

  /** The literals that no parameter took. */
  get unused(): readonly TaskLiteral[] {
    return [...this.#left];
  }

  bind(parameters: readonly Parameter[]): void {
    for (const parameter of parameters) this.#bindNamed(parameter);
    for (const parameter of parameters) this.#bindWord(parameter);
    const open = () => parameters.filter(({ name, required }) => required && !this.#values.has(name));
    this.#bindExpression(open());
    this.#bindPrepositions(open().filter(isNumeric));
    this.#bindNumbers(open());
    this.#bindTexts(open());
  }

  /** `limit 10`, `limit = 10`, `title "Notes"`. */
  #bindNamed(parameter: Parameter): void {
    const cue = new RegExp(`${cueOf(parameter.name)}$`, 'i');
    const isNamed = (literal: TaskLiteral) => cue.test(this.#task.slice(0, literal.start));
    const [only, ...others] = [...this.#left].filter((literal) => fits(parameter, literal) && isNamed(literal));
    if (only !== undefined && others.length === 0) this.#fill(parameter, only);
  }

  /** A choice or a truth value that stands in the task as a word; behind the parameter's name when it is optional. */
  #bindWord(parameter: Parameter): void {
    const choices = parameter.kind === 'boolean' ? ['true', 'false'] : parameter.choices;
    const before = parameter.required ? '' : cueOf(parameter.name);
    const said = choices.filter((choice) => choice !== '' && wordPattern(choice, before).test(this.#task));
    const [only, ...others] = said;
    if (only === undefined || others.length > 0 || this.#values.has(parameter.name)) return;
    this.#values.set(parameter.name, parameter.kind === 'boolean' ? only : JSON.stringify(only));
    for (const literal of this.#left) if (literal.value === only) this.#left.delete(literal);
  }

  #bindExpression(required: readonly Parameter[]): void {
    const [parameter, ...others] = required.filter(({ kind }) => kind === 'expression');
    if (parameter === undefined || others.length > 0) return;
    const [expression, ...more] = this.#ofKind('expression');
    const [text, ...moreTexts] = this.#ofKind('text');
    if (expression !== undefined && more.length === 0) this.#fill(parameter, expression);
    else if (expression === undefined && text !== undefined && moreTexts.length === 0) this.#fill(parameter, text);
  }

  /** `Subtract 3 from 10`: the number behind a preposition belongs to the parameter whose description says it. */
  #bindPrepositions(numeric: readonly Parameter[]): void {
    for (const literal of this.#ofKind('number')) {
      const preposition = this.#prepositionBefore(literal);
      if (preposition === undefined) continue;
      const [only, ...others] = numeric.filter(({ description }) => wordPattern(preposition).test(description));
      if (only !== undefined && others.length === 0 && !this.#values.has(only.name)) this.#fill(only, literal);
    }
  }

  #bindNumbers(open: readonly Parameter[]): void {
    const numbers = this.#ofKind('number');
    const [list, ...otherLists] = open.filter(({ kind }) => kind === 'numbers');
    if (list === undefined) this.#bindInOrder(open.filter(isNumeric), numbers);
    else if (otherLists.length === 0 && !open.some(isNumeric)) this.#fill(list, ...numbers);
  }

  #bindTexts(open: readonly Parameter[]): void {
    const texts = this.#ofKind('text');
    const single = open.filter(({ kind }) => kind === 'text');
    const [list, ...otherLists] = open.filter(({ kind }) => kind === 'texts');
    if (list !== undefined) {
      if (otherLists.length === 0 && single.length === 0) this.#fill(list, ...texts);
    } else if (single.length === 1) {
      this.#bindInOrder(single, texts);
    } else {
      // `Write "hello" to /tmp/x` names the path last, whatever the order of the parameters.
      const counts = [texts.filter(isPath).length, single.filter(takesPath).length];
      if (counts[0] !== counts[1]) return;
      this.#bindInOrder(single.filter(takesPath), texts.filter(isPath));
      this.#bindInOrder(
        single.filter((parameter) => !takesPath(parameter)),
        texts.filter((text) => !isPath(text)),
      );
    }
  }

  #bindInOrder(parameters: readonly Parameter[], literals: readonly TaskLiteral[]): void {
    // `3 from 10` and `4 into 10` turn the order around.
    const isTurned = literals
      .slice(1)
      .some((literal) => /^(?:from|into)$/.test(this.#prepositionBefore(literal) ?? ''));
    if (isTurned || parameters.length !== literals.length) return;
    for (const [index, parameter] of parameters.entries()) {
      const literal = literals[index];
      if (literal !== undefined && fits(parameter, literal)) this.#fill(parameter, literal);
    }
  }

  #fill(parameter: Parameter, ...literals: readonly TaskLiteral[]): void {
    if (literals.length === 0) return;
    const values = literals.map(({ kind, value }) => (kind === 'number' ? value : JSON.stringify(value)));
    const isList = parameter.kind === 'numbers' || parameter.kind === 'texts';
    this.#values.set(parameter.name, isList ? `[${values.join(', ')}]` : values.join());
    for (const literal of literals) this.#left.delete(literal);
  }

  #ofKind(kind: TaskLiteral['kind']): TaskLiteral[] {
    return [...this.#left].filter((literal) => literal.kind === kind);
  }

  #prepositionBefore({ start }: TaskLiteral): string | undefined {
    return /\b(from|into|by|than|over|per|until)\s+\W?$/i.exec(this.#task.slice(0, start))?.[1]?.toLowerCase();
  }
}

function fits({ kind, choices }: Parameter, literal: TaskLiteral): boolean {
  switch (kind) {
    case 'number':
      return literal.kind === 'number' && !isTooLong(literal.value);
    case 'integer':
      return literal.kind === 'number' && Number.isSafeInteger(Number(literal.value));
    case 'text':
      return literal.kind === 'text';
    case 'expression':
      return literal.kind === 'expression' || literal.kind === 'text';
    case 'choice':
      return literal.kind === 'text' && choices.includes(literal.value);
    default:
      return false;
  }
}

/** A pattern of what stands before a value that is meant for the parameter. Names as short as articles need a sign. */
function cueOf(name: string): string {
  const words = name.match(/[A-Z]?[a-z]+|[A-Z]+|\d+/g) ?? [];
  const spelled = words.map((word) => word.toLowerCase()).join('[\\s_-]*');
  const link = name.length > 2 ? '\\s*(?:[=:]|\\b(?:is|of|to|named|called)\\b)?\\s*' : '\\s*[=:]\\s*';
  return `(?<![\\w-])${spelled || '(?!)'}${link}`;
}

/** `word` as a whole word, behind what the pattern `before` matches. */
function wordPattern(word: string, before = ''): RegExp {
  const escaped = word.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  return new RegExp(`${before}(?<![\\w-])${escaped}(?![\\w-])`, 'i');
}

/** Whether a whole number loses digits as a JavaScript number. */
function isTooLong(digits: string): boolean {
  return /^-?\d+$/.test(digits) && !Number.isSafeInteger(Number(digits));
}

function isNumeric({ kind }: Parameter): boolean {
  return kind === 'number' || kind === 'integer';
}

function isPath({ value }: TaskLiteral): boolean {
  return /^(?:https?:\/\/|\.{0,2}\/)/.test(value);
}

function takesPath({ name }: Parameter): boolean {
  return /path|file|folder|dir|url|uri|source|dest|target/i.test(name);
}
