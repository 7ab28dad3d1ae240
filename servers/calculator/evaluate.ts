import { failure, finite } from './lib/checks.ts';
import { ExpressionError, evaluateExpression } from './lib/expression.ts';

/**
 * The value of an arithmetic expression such as `12 * (3 + 4)`; what it may hold is described in `lib/expression.ts`.
 * Throws a ToolError `invalid_arguments` with the position of what cannot be read, `division_by_zero` or `out_of_range`.
 */
export async function evaluate(input: { readonly expression: string }): Promise<number> {
  const expression = input?.expression;
  if (typeof expression !== 'string') throw failure('evaluate', 'invalid_arguments', '"expression" must be a string');
  return finite('evaluate', compute(expression));
}

function compute(expression: string): number {
  try {
    return evaluateExpression(expression);
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    throw failure('evaluate', error.code, error.message, { position: error.position });
  }
}
