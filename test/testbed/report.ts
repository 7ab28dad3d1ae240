import type { OperationResult } from '../conformance/operation.ts';

/** What the nested host says, one line of JSON each, among whatever else is said on the same line of communication. */
export type ReportLine =
  | { readonly kind: 'progress'; readonly text: string }
  | { readonly kind: 'check'; readonly name: string; readonly ms: number; readonly error?: string }
  | { readonly kind: 'operation'; readonly result: OperationResult }
  /** Its processors have had something to do since the last time. `ms`: since its first program began, by its own clock. */
  | { readonly kind: 'busy'; readonly ms: number }
  | { readonly kind: 'end' };

const MARK = '@testbed ';

export function writeReport(line: ReportLine): void {
  process.stdout.write(`${MARK}${JSON.stringify(line)}\n`);
}

/** Undefined for what is not of the report. */
export function parseReport(text: string): ReportLine | undefined {
  if (!text.startsWith(MARK)) return undefined;
  try {
    return JSON.parse(text.slice(MARK.length)) as ReportLine;
  } catch {
    return undefined;
  }
}
