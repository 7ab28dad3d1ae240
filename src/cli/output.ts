import { styleText } from 'node:util';
import { printable } from '../util/printable.ts';

/** Data: for the next program in the pipe. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, process.stdout.isTTY ? 2 : 0));
}

/** Talk: for the person in front of the screen. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Talk about something that takes a while. */
export function sayProgress(text: string): void {
  say(dim(`… ${text}`));
}

/** Quieter, where the screen can show it and `NO_COLOR` is not set. */
export function dim(text: string): string {
  return styleText('dim', text, { stream: process.stderr });
}

export function bold(text: string): string {
  return styleText('bold', text, { stream: process.stderr });
}

/** Rows with aligned columns; the last column is as wide as it wants. What cells hold cannot steer the terminal. */
export function table(raw: readonly (readonly string[])[]): string {
  const rows = raw.map((row) => row.map(printable));
  const widths = rows.reduce<number[]>((all, row) => row.map((cell, i) => Math.max(all[i] ?? 0, cell.length)), []);
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
