import type { Location, Message } from 'esbuild';
import type { ProgramError } from '../core/execution.ts';
import { excerpt, type Place } from './excerpt.ts';
import { withImportPaths } from './import-paths.ts';
import { type GeneratedProgram, PROGRAM_FILE } from './program.ts';

/** What the compiler found first, at the line of the body, with that line and a mark under the place. */
export function compileError(messages: readonly Message[], program: GeneratedProgram): ProgramError {
  // A program that cannot be read as a function body is compiled as a module, where its `return` is not the mistake.
  const message = messages.find(({ text }) => !text.startsWith('Top-level return')) ?? messages[0];
  const name = message?.pluginName ? 'Error' : 'SyntaxError';
  const place = placeOf(message?.location ?? null, program);
  const hints = message?.notes.map(({ text }) => text).filter((text) => text.startsWith('Did you mean')) ?? [];
  const found = place?.isBehindBody
    ? 'Unexpected end of the program'
    : (message?.text ?? 'The program cannot be compiled');
  const text = [found, ...hints].map(withImportPaths).join('. ');
  return {
    name,
    message: text,
    stack: `${name}: ${text}${place === undefined ? '' : excerpt({ ...place, file: withImportPaths(place.file) })}`,
    ...(place?.file === PROGRAM_FILE ? { line: place.line } : {}),
  };
}

interface FoundPlace extends Place {
  readonly isBehindBody: boolean;
}

function placeOf(location: Location | null, program: GeneratedProgram): FoundPlace | undefined {
  if (location === null) return undefined;
  // The compiler counts columns in bytes.
  const before = Buffer.from(location.lineText).subarray(0, location.column).toString();
  const place = { file: location.file, line: location.line, before, text: location.lineText, isBehindBody: false };
  if (location.file !== PROGRAM_FILE) return place;
  const line = program.bodyLines[location.line - 1] ?? 0;
  if (line > 0) return { ...place, line };
  const last = program.bodyLines.findLastIndex((bodyLine, index) => bodyLine > 0 && index < location.line);
  if (last === -1) return undefined;
  const text = program.module.split('\n')[last] ?? '';
  return { ...place, line: program.bodyLines[last] ?? 1, before: text, text, isBehindBody: true };
}
