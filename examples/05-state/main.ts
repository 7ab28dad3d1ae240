/** Files outlive the machine: one microVM writes its state, another one goes on with it. */

import assert from 'node:assert/strict';
import { freshCustomer, microvmOf, openCell } from '../support.ts';

const CUSTOMER = 'example-05-state';

const FIRST_HALF = `
import { mkdirSync, writeFileSync } from 'node:fs';

mkdirSync('state', { recursive: true });
writeFileSync('state/progress.json', JSON.stringify({ done: ['collect', 'clean'], next: 'report' }));
`;

const SECOND_HALF = `
import { readFileSync, writeFileSync } from 'node:fs';

const progress = JSON.parse(readFileSync('state/progress.json', 'utf8'));
progress.done.push(progress.next);
progress.next = null;
writeFileSync('state/progress.json', JSON.stringify(progress));
return progress;
`;

const first = await runFirstHalf();
console.log(`First microVM   ${first}: wrote state/progress.json, and is gone`);

await using cell = await openCell();
const customer = cell.customer(CUSTOMER);
const result = await customer.execute({ code: SECOND_HALF });
const second = microvmOf(result).id;
const file = await (await customer.workspace()).files.readFile('state/progress.json', { maxBytes: 1_000 });
console.log(`Second microVM  ${second}: went on with it`);
console.log(`On the host     ${file}`);

const expected = { done: ['collect', 'clean', 'report'], next: null };
assert.notEqual(second, first);
assert.deepEqual(result.value, expected);
assert.deepEqual(JSON.parse(file.toString()), expected);

async function runFirstHalf(): Promise<string> {
  await using firstCell = await openCell();
  const newcomer = await freshCustomer(firstCell, CUSTOMER);
  return microvmOf(await newcomer.execute({ code: FIRST_HALF })).id;
}
