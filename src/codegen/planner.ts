import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { ArgumentBinder } from './argument-binder.ts';
import { expectedValue, readParameters } from './parameters.ts';
import { readLiterals } from './task-literals.ts';

export type CallPlan =
  | { readonly ok: true; readonly body: string }
  | { readonly ok: false; readonly missing: readonly MissingArgument[]; readonly message: string };

export interface MissingArgument {
  readonly name: string;
  /** What the task would have to say, such as `a number`. */
  readonly expected: string;
}

/** Longer tasks are not one call. */
const MAX_TASK_LENGTH = 4_000;

/**
 * A program that calls `tool` once with the values that `task` spells out: `return await add({ a: 5, b: 3 });`.
 *
 * No value comes from anywhere but the task, and nothing that the task spells out is left over: the plan holds exactly its
 * numbers, quoted texts and expressions. Where there is a choice there is no plan. Optional parameters are filled only
 * when the task names them.
 */
export function planCall(task: string, tool: ToolDescriptor): CallPlan {
  if (task.length > MAX_TASK_LENGTH) return refusal(tool, [], 'it is too long');
  const { literals, unread } = readLiterals(task);
  const binder = new ArgumentBinder(task, literals);
  const parameters = readParameters(tool.inputSchema);
  binder.bind(parameters);
  const missing = parameters.filter((parameter) => parameter.required && !binder.values.has(parameter.name));
  const unused = [...binder.unused.map(({ value }) => value), ...unread];
  const wanted = missing.map((parameter) => ({ name: parameter.name, expected: expectedValue(parameter) }));
  const list = wanted.map(({ name, expected }) => `"${name}" (${expected})`).join(' and ');
  if (missing.length > 0 && unused.length > 0) {
    return refusal(tool, wanted, `it gives ${unused.join(', ')}, and ${list} would have to be certain`);
  }
  if (missing.length > 0) return refusal(tool, wanted, `it does not give ${list}`);
  if (unused.length > 0) return refusal(tool, [], `it is not certain where ${unused.join(', ')} belongs`);
  const values = parameters.flatMap(({ name }) => {
    const value = binder.values.get(name);
    return value === undefined ? [] : [`${keyText(name)}: ${value}`];
  });
  const input = values.length === 0 ? '' : `{ ${values.join(', ')} }`;
  return { ok: true, body: `return await ${tool.identifier}(${input});` };
}

function refusal(tool: ToolDescriptor, missing: readonly MissingArgument[], why: string): CallPlan {
  const message = `Cannot fill a call of "${toolName(tool)}" from the task alone: ${why}; write the program that makes the call`;
  return { ok: false, missing, message };
}

function keyText(name: string): string {
  if (/^[A-Za-z_$][\w$]*$/.test(name) && name !== '__proto__') return name;
  return `[${JSON.stringify(name)}]`;
}
