import { gapOf } from './known-gaps.ts';
import type { OperationResult } from './operation.ts';

export interface DriverResults {
  readonly driver: string;
  readonly isolation: string;
  readonly version: string;
  readonly results: readonly OperationResult[];
}

const NAMES = { msb: '`msb`', sdk: 'Node SDK' } as const;

/** `docs/COMPATIBILITY.md`: each operation, the stock client that did it, and how it went on each driver. */
export function compatibilityPage(runs: readonly DriverResults[]): string {
  const keys = [...new Set(runs.flatMap(({ results }) => results.map(keyOf)))];
  const rows = keys.map((key) => {
    const cells = runs.map(({ driver, results }) =>
      cell(
        driver,
        results.find((result) => keyOf(result) === key),
      ),
    );
    const result = runs.flatMap(({ results }) => results).find((each) => keyOf(each) === key);
    return result === undefined
      ? ''
      : row([result.area, NAMES[result.client], escaped(result.name), result.cloud, ...cells]);
  });
  return `# Compatibility

Made by \`npm run conformance\`; not written by hand. The stock clients of Microsandbox ${runs[0]?.version ?? ''}, unmodified, with
\`MSB_BACKEND=cloud\`, did each of these against \`workcell serve\`. "cloud" is what the original's documentation says of the operation
on its own cloud.

${runs.map(summary).join('\n')}

${row(['area', 'client', 'operation', 'cloud', ...runs.map(({ driver }) => driver)])}
${row(Array.from({ length: 4 + runs.length }, () => '---'))}
${rows.join('\n')}
${reasons(runs)}`;
}

/** Of the operations that the original's cloud is said to do, how many of 1 work. */
export function passRate(results: readonly OperationResult[]): number {
  const promised = results.filter(({ cloud }) => cloud !== 'local-only');
  return promised.filter(({ ok }) => ok).length / promised.length;
}

function summary({ driver, isolation, results }: DriverResults): string {
  const promised = results.filter(({ cloud }) => cloud !== 'local-only');
  const passed = promised.filter(({ ok }) => ok).length;
  return `- \`${driver}\` (isolation ${isolation}): ${passed} of ${promised.length} operations that work on the original's cloud.`;
}

function cell(driver: string, result: OperationResult | undefined): string {
  if (result === undefined) return 'not run';
  if (result.ok) return 'yes';
  return gapOf(driver, result) === undefined ? 'NO' : 'no';
}

function reasons(runs: readonly DriverResults[]): string {
  const lines = runs.flatMap(({ driver, results }) =>
    results
      .filter(({ ok }) => !ok)
      .map(
        (result) => `- ${driver}, ${NAMES[result.client]}, ${result.name}: ${gapOf(driver, result) ?? result.error}`,
      ),
  );
  return lines.length === 0 ? '' : `\n## What does not work, and why\n\n${lines.join('\n')}\n`;
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function escaped(text: string): string {
  return text.replaceAll('|', '\\|');
}

function keyOf({ client, name }: OperationResult): string {
  return `${client}: ${name}`;
}
