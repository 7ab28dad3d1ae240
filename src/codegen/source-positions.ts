import { SourceMap } from 'node:module';
import type { ProgramError } from '../core/execution.ts';
import { PROGRAM_URL } from '../core/program-url.ts';
import { withImportPaths } from './import-paths.ts';
import { type GeneratedProgram, PROGRAM_FILE } from './program.ts';
import type { TranspiledProgram } from './transpile.ts';

/** An error as the runner reports it. */
export type RawError = Omit<ProgramError, 'line'>;

/**
 * The error with positions in what the author wrote: `program.ts` counts from the first line of the body, and bundled
 * wrappers and skills are `servers/…` and `skills/…` files. Frames of the runner, and of code that nobody wrote, are left out. `line` is that of the
 * innermost frame in the program.
 */
export function locateError(error: RawError, program: GeneratedProgram, { map }: TranspiledProgram): ProgramError {
  const locate = locator(program, map);
  let line: number | undefined;
  const stack = error.stack.split('\n').flatMap((text) => {
    if (!/^\s+at /.test(text)) return [text];
    if (INTERNAL.test(text)) return [];
    let isHidden = false;
    const frame = text.replace(FRAME, (_, row: string, column: string) => {
      const position = locate(Number(row), Number(column));
      if (position === undefined) isHidden = true;
      else if (position.file === PROGRAM_FILE) line ??= position.line;
      return position === undefined ? '' : `${position.file}:${position.line}:${position.column}`;
    });
    return isHidden ? [] : [frame.replaceAll(/file:\/\/\/(?:workspace|opt\/workcell)\//g, '')];
  });
  return { ...error, stack: stack.join('\n'), ...(line === undefined ? {} : { line }) };
}

interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

const FRAME = new RegExp(`${PROGRAM_URL.replaceAll('.', '\\.')}:(\\d+):(\\d+)`, 'g');
const INTERNAL = /\/opt\/workcell\/(?!skills\/)|\/\.workcell\/|node:internal/;

/** Where a position of the transpiled code comes from; undefined when it comes from nothing that anyone wrote. */
function locator({ bodyLines }: GeneratedProgram, map: string): (row: number, column: number) => Position | undefined {
  const sourceMap = new SourceMap(JSON.parse(map));
  return (row, column) => {
    const entry = sourceMap.findEntry(row - 1, column - 1);
    if (!('originalSource' in entry)) return undefined;
    const { originalSource, originalLine, originalColumn } = entry;
    const isProgram = originalSource === PROGRAM_FILE;
    const file = isProgram ? PROGRAM_FILE : withImportPaths(originalSource);
    const line = isProgram ? (bodyLines[originalLine] ?? 0) : originalLine + 1;
    return line === 0 ? undefined : { file, line, column: originalColumn + 1 };
  };
}
