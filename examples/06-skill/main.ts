/** A program that worked becomes a skill; a later program, in another microVM, finds it by what it does and imports it. */

import assert from 'node:assert/strict';
import { freshCustomer, microvmOf, openCell } from '../support.ts';

const CUSTOMER = 'example-06-skill';

const TEACHER = `
import { divide, evaluate } from 'servers/calculator';

export interface Bill { bill: number; tipPercent: number; people: number }

export async function splitBill({ bill, tipPercent, people }: Bill): Promise<number> {
  const total = await evaluate({ expression: bill + " * (100 + " + tipPercent + ") / 100" });
  return await divide({ a: total, b: people });
}

export default await splitBill({ bill: 60, tipPercent: 10, people: 4 });
`;

const PUPIL = `
import { splitBill } from 'skills/split-bill';

return await splitBill({ bill: 90, tipPercent: 10, people: 3 });
`;

const teacher = await saveSkill();
console.log(`First microVM   ${teacher}: its program is saved as skills/split-bill, and it is gone`);

await using cell = await openCell();
const customer = cell.customer(CUSTOMER);
const [hit] = await customer.skills.search('share what a dinner costs');
assert.ok(hit !== undefined, 'no skill was found');
console.log(`On the host     found ${hit.skill.name}: ${hit.skill.description}`);
const result = await customer.execute({ code: PUPIL });
const pupil = microvmOf(result).id;
console.log(`Second microVM  ${pupil}: imported it; each of three people pays ${result.value}`);

assert.notEqual(pupil, teacher);
assert.equal(result.value, 33);
assert.equal(hit.skill.name, 'split-bill');
assert.deepEqual(
  hit.skill.tools.map(({ tool }) => tool),
  ['divide', 'evaluate'],
);
assert.deepEqual({ stale: hit.skill.stale, warnings: result.warnings }, { stale: [], warnings: [] });
const { instructions } = await customer.skills.get('split-bill');
assert.match(instructions, /import \{?.*splitBill.* from 'skills\/split-bill'/);

async function saveSkill(): Promise<string> {
  await using firstCell = await openCell();
  const newcomer = await freshCustomer(firstCell, CUSTOMER);
  const worked = await newcomer.execute({ code: TEACHER });
  assert.equal(worked.value, 16.5);
  await newcomer.skills.save({
    name: 'split-bill',
    execution: worked.executionId,
    description: 'Splits a bill among people, tip included. Use it when people share what something costs.',
  });
  return microvmOf(worked).id;
}
