/** A place in a file that people wrote. */
export interface Place {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** The line, and what of it stands before the place. */
  readonly text: string;
  readonly before: string;
}

/** Where it is, as a frame of a stack, with the line and a mark under the place. */
export function excerpt({ file, line, before, text }: Place): string {
  const number = String(line).padStart(5);
  const mark = `${before.replace(/[^\t]/g, ' ')}^`;
  return `\n    at ${file}:${line}:${before.length + 1}\n\n${number} | ${text}\n      | ${mark}`;
}
