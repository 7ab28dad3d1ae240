import type { Diagnostic } from 'typescript/unstable/async';
import type { ProgramError } from '../core/execution.ts';
import { excerpt, type Place } from './excerpt.ts';
import { type GeneratedProgram, PROGRAM_FILE } from './program.ts';

/** One mistake, at the author's line and column, both from 1. */
interface TypeMistake extends Place {
  /** The compiler's number, as in `TS2322`. */
  readonly code: string;
  readonly message: string;
}

/** Shown with their line; further ones are counted. */
const MOST_SHOWN = 10;

/**
 * What the compiler says of a program, as the error of a run that never started; undefined when nothing that it says keeps
 * the program from running. `fields.diagnostics` has all mistakes: `{line, column, code, message}` each.
 */
export function typeErrors(diagnostics: readonly Diagnostic[], program: GeneratedProgram): ProgramError | undefined {
  const mistakes = diagnostics.filter(isMistake).flatMap((diagnostic) => locate(diagnostic, program));
  const [first] = mistakes;
  if (first === undefined) return undefined;
  const more = mistakes.length === 1 ? '' : `; ${mistakes.length - 1} more`;
  const shown = mistakes.slice(0, MOST_SHOWN).map((each) => `${each.code}: ${each.message}${excerpt(each)}`);
  const hidden = mistakes.length - shown.length;
  return {
    name: 'TypeCheckError',
    message: `${first.message} (line ${first.line}${more}); nothing was run`,
    stack: [...shown, ...(hidden > 0 ? [`and ${hidden} more`] : [])].join('\n\n'),
    line: first.line,
    fields: {
      diagnostics: mistakes.map(({ line, before, code, message }) => ({
        line,
        column: before.length + 1,
        code,
        message,
      })),
    },
  };
}

/** Complaints about what runs all the same, and about modules that only the sandbox can find. */
const HARMLESS: ReadonlySet<number> = new Set([
  1108, // a return outside of a function, in a program that is no function body
  2307, // no such module, by a relative path
  2571, // an object of type unknown
  2696, // the Object type is assignable to few others
  2732, // a JSON module
  2792, // no such module, and a hint
  6133, // declared and never used
  7027, // code that is never reached
  7028, // a label that is never used
  18046, // a value of type unknown
]);

/** Of a type that says nothing, nothing can be said to be missing. */
const OF_NO_TYPE = /does not exist on type '(?:unknown|\{\}|object|never)'/;

function isMistake({ code, category, text }: Diagnostic): boolean {
  return category === ERROR && !HARMLESS.has(code) && !OF_NO_TYPE.test(text);
}

/** `DiagnosticCategory.Error`. */
const ERROR = 1;

function locate(diagnostic: Diagnostic, { module, bodyLines }: GeneratedProgram): TypeMistake[] {
  const start = module.lastIndexOf('\n', diagnostic.pos - 1) + 1;
  const row = module.slice(0, start).split('\n').length - 1;
  const line = bodyLines[row] ?? 0;
  if (line === 0) return [];
  const text = module.split('\n')[row] ?? '';
  const before = module.slice(start, diagnostic.pos);
  return [{ file: PROGRAM_FILE, line, text, before, code: `TS${diagnostic.code}`, message: messageOf(diagnostic) }];
}

/** With the reasons below it, which say what the types differ in. */
function messageOf({ text, messageChain = [] }: Diagnostic): string {
  return [text, ...messageChain.map(messageOf)].join(' ');
}
