/** A TypeScript type as text. */
export interface TypeText {
  readonly text: string;
  /** True when it needs parentheses beside an operator. */
  readonly loose: boolean;
}

export const UNKNOWN: TypeText = { text: 'unknown', loose: false };
export const NEVER: TypeText = { text: 'never', loose: false };

/** Any of the types; `never` when there are none. */
export function union(types: readonly TypeText[]): TypeText {
  const members = distinct(types, NEVER);
  if (members.some(({ text }) => text === UNKNOWN.text)) return UNKNOWN;
  return combine(members, ' | ', NEVER);
}

/** All of the types at once; `unknown` when there are none. */
export function intersection(types: readonly TypeText[]): TypeText {
  const members = distinct(types, UNKNOWN);
  if (members.some(({ text }) => text === NEVER.text)) return NEVER;
  return combine(members, ' & ', UNKNOWN);
}

export function arrayOf(type: TypeText): TypeText {
  return { text: `${tight(type)}[]`, loose: false };
}

/** The type with parentheses where it needs them. */
export function tight({ text, loose }: TypeText): string {
  return loose ? `(${text})` : text;
}

function distinct(types: readonly TypeText[], neutral: TypeText): TypeText[] {
  const others = types.filter(({ text }) => text !== neutral.text);
  return [...new Map(others.map((type) => [type.text, type])).values()];
}

function combine(members: readonly TypeText[], operator: string, neutral: TypeText): TypeText {
  const [only = neutral, ...more] = members;
  return more.length === 0 ? only : { text: members.map(tight).join(operator), loose: true };
}
