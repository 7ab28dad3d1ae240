import { failure, finite, operands } from './lib/checks.ts';

/** `a` divided by `b`. Throws a ToolError `division_by_zero`, `invalid_arguments` or `out_of_range`. */
export async function divide(input: { readonly a: number; readonly b: number }): Promise<number> {
  const [a, b] = operands('divide', input);
  if (b === 0) throw failure('divide', 'division_by_zero', `${a} cannot be divided by zero`);
  return finite('divide', a / b);
}
