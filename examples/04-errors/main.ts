/** A loop, a condition, and tools that fail: what a program catches, and what becomes of an error that it does not catch. */

import assert from 'node:assert/strict';
import { freshCustomer, microvmOf, openCell } from '../support.ts';

const PROGRAM = `
import { ToolError } from 'servers/runtime';
import { divide } from 'servers/calculator';
import { readTextFile } from 'servers/filesystem';

const quotients = [];
const caught = [];
for (const divisor of [2, 0, 5]) {
  try {
    const quotient = await divide({ a: 10, b: divisor });
    if (quotient > 2) quotients.push(quotient);
  } catch (error) {
    caught.push(describe(error));
  }
}
try {
  await readTextFile({ path: 'example-04-errors/nothing-here.txt' });
} catch (error) {
  caught.push(describe(error));
}
try {
  await readTextFile({ path: 4 });
} catch (error) {
  caught.push(describe(error));
}
return { quotients, caught };

function describe(error) {
  if (!(error instanceof ToolError)) throw error;
  const { server, tool, code, message } = error;
  return { server, tool, code, message };
}
`;

const CARELESS_PROGRAM = `
import { divide } from 'servers/calculator';

console.log('so far, so good');
return await divide({ a: 1, b: 0 });
`;

interface Caught {
  readonly server: string;
  readonly tool: string;
  readonly code: string;
  readonly message: string;
}

await using cell = await openCell();
const customer = await freshCustomer(cell, 'example-04-errors');

const result = await customer.execute({ code: PROGRAM });
microvmOf(result);
const { quotients, caught } = result.value as { quotients: number[]; caught: Caught[] };
console.log(`Quotients above 2: ${quotients.join(', ')}`);
console.log('\nCaught by the program, which went on');
for (const { server, tool, code, message } of caught) {
  console.log(`  ${server}.${tool}\n    ${code}: ${message.replaceAll('\n', '\n    ')}`);
}

assert.deepEqual(quotients, [5]);
assert.deepEqual(
  caught.map(({ server, tool, code }) => [server, tool, code]),
  [
    ['calculator', 'divide', 'division_by_zero'],
    ['filesystem', 'read_text_file', 'tool_failed'],
    ['filesystem', 'read_text_file', 'invalid_arguments'],
  ],
);
assert.match(caught[1]?.message ?? '', /no such file/i);
// The host keeps its own record of the calls that reached it; the calculator runs inside the microVM.
assert.deepEqual(
  result.calls.map(({ server, tool, ok, error }) => [server, tool, ok, error?.code]),
  [
    ['filesystem', 'read_text_file', false, 'tool_failed'],
    ['filesystem', 'read_text_file', false, 'invalid_arguments'],
  ],
);

const careless = await customer.execute({ code: CARELESS_PROGRAM });
console.log('\nNot caught, so the run is a result that says');
console.log(
  `  ${careless.status}: ${careless.error?.name} in line ${careless.error?.line}: ${careless.error?.message}`,
);

assert.equal(careless.status, 'failed');
assert.equal(careless.stdout, 'so far, so good\n');
assert.equal(careless.error?.name, 'ToolError');
assert.equal(careless.error.line, 5);
assert.equal(careless.error.fields?.['code'], 'division_by_zero');
