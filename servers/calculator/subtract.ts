import { finite, operands } from './lib/checks.ts';

/** What is left of `a` after taking `b` away. Throws a ToolError `invalid_arguments` or `out_of_range`. */
export async function subtract(input: { readonly a: number; readonly b: number }): Promise<number> {
  const [a, b] = operands('subtract', input);
  return finite('subtract', a - b);
}
