/** A large file is read where it lies; ten lines of it come out. */

import assert from 'node:assert/strict';
import { freshCustomer, microvmOf, openCell } from '../support.ts';
import { readData } from './data.ts';

const PROGRAM = String.raw`
import { readFileSync } from 'node:fs';

const [header, ...rows] = parseCsv(readFileSync('data/queries.csv', 'utf8'));
const column = header.indexOf('Tool');
const counts = new Map<string, number>();
for (const row of rows) counts.set(row[column], (counts.get(row[column]) ?? 0) + 1);
const top = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, 10);
return { rows: rows.length, top };

/** Fields may be quoted, and then hold commas, line ends and doubled quotes. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  let field = '';
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (quoted && char === '"' && text[at + 1] === '"') {
      field += char;
      at += 1;
    } else if (char === '"') quoted = !quoted;
    else if (quoted || (char !== ',' && char !== '\n')) field += char;
    else {
      rows.at(-1)?.push(field);
      field = '';
      if (char === '\n') rows.push([]);
    }
  }
  if (rows.at(-1)?.length === 0 && field === '') rows.pop();
  else rows.at(-1)?.push(field);
  return rows;
}
`;

const { origin, content } = await readData(process.argv[2]);
console.log(`Data: ${content.length.toLocaleString('en')} bytes, ${origin}`);

await using cell = await openCell();
const customer = await freshCustomer(cell, 'example-03-filter');
const workspace = await customer.workspace();
await workspace.files.writeFile('data/queries.csv', content);

const result = await customer.execute({ code: PROGRAM });
microvmOf(result);
const { rows, top } = result.value as { rows: number; top: [string, number][] };
const left = Buffer.byteLength(JSON.stringify(result.value)) + result.output.stdoutBytes + result.output.stderrBytes;

console.log(`\nThe ten most frequent tools of ${rows.toLocaleString('en')} queries`);
for (const [tool, count] of top) console.log(`  ${String(count).padStart(5)}  ${tool}`);
console.log(`\n${left} bytes left the microVM; ${(content.length - left).toLocaleString('en')} bytes stayed inside`);

const expected = countOnTheHost(content.toString('utf8'));
assert.equal(rows, expected.rows);
assert.deepEqual(top, expected.top);
assert.ok(left < 1_000, `${left} bytes left the microVM`);

/** The same numbers found another way: each record is two fields, cut out by one expression. */
function countOnTheHost(text: string): { rows: number; top: [string, number][] } {
  const record = /(?:"(?:[^"]|"")*"|[^",\n]*),(?:"((?:[^"]|"")*)"|([^",\n]*))(?:\n|$)/g;
  const tools = [...text.matchAll(record)].slice(1).map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain);
  const counts = Object.entries(Object.groupBy(tools, (tool) => tool ?? '')).map(([tool, list]): [string, number] => [
    tool,
    list?.length ?? 0,
  ]);
  counts.sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  return { rows: tools.length, top: counts.slice(0, 10) };
}
