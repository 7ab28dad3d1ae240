import { ToolError } from '../../runtime.ts';

const SERVER = 'calculator';

/** Two operands, as numbers. Throws a ToolError `invalid_arguments` when one is missing or not a finite number. */
export function operands(tool: string, input: { readonly a: number; readonly b: number }): [number, number] {
  return [operand(tool, 'a', input?.a), operand(tool, 'b', input?.b)];
}

/** The result, when it is a number that can be written down. Throws a ToolError `out_of_range` otherwise. */
export function finite(tool: string, result: number): number {
  if (Number.isFinite(result)) return result;
  const message = Number.isNaN(result) ? 'The result is not a real number' : 'The result is too large for a number';
  throw failure(tool, 'out_of_range', message);
}

/** A ToolError of this server. */
export function failure(tool: string, code: string, message: string, details?: unknown): ToolError {
  return new ToolError({ server: SERVER, tool, code, message, details });
}

function operand(tool: string, name: string, value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  const shown = typeof value === 'string' ? JSON.stringify(value) : String(value);
  throw failure(tool, 'invalid_arguments', `"${name}" must be a finite number, not ${shown}`, { parameter: name });
}
