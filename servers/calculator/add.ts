import { finite, operands } from './lib/checks.ts';

/** The sum of two numbers. Throws a ToolError `invalid_arguments` or `out_of_range`. */
export async function add(input: { readonly a: number; readonly b: number }): Promise<number> {
  const [a, b] = operands('add', input);
  return finite('add', a + b);
}
