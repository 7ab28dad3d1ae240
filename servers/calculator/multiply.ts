import { finite, operands } from './lib/checks.ts';

/** The product of two numbers. Throws a ToolError `invalid_arguments` or `out_of_range`. */
export async function multiply(input: { readonly a: number; readonly b: number }): Promise<number> {
  const [a, b] = operands('multiply', input);
  return finite('multiply', a * b);
}
