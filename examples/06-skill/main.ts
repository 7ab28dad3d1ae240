/** A program saves what it has learned as a skill; a later program, in another microVM, imports it. */

import assert from 'node:assert/strict';
import { freshCustomer, microvmOf, openCell } from '../support.ts';

const CUSTOMER = 'example-06-skill';

const TEACHER = String.raw`
import { mkdirSync, writeFileSync } from 'node:fs';

const folder = '/workspace/skills/split-bill';
mkdirSync(folder, { recursive: true });
writeFileSync(folder + '/SKILL.md', [
  '---',
  'name: split-bill',
  'description: Splits a bill among people, tip included. Use it when people share what something costs.',
  '---',
  '',
  "import { splitBill } from 'skills/split-bill'; // await splitBill({ bill: 90, tipPercent: 10, people: 3 })",
  '',
].join('\n'));
writeFileSync(folder + '/index.ts', [
  "import { divide, evaluate } from 'servers/calculator';",
  '',
  'export interface Bill { bill: number; tipPercent: number; people: number }',
  '',
  'export async function splitBill({ bill, tipPercent, people }: Bill): Promise<number> {',
  '  const total = await evaluate({ expression: bill + " * (100 + " + tipPercent + ") / 100" });',
  '  return await divide({ a: total, b: people });',
  '}',
  '',
].join('\n'));
`;

const PUPIL = `
import { splitBill } from 'skills/split-bill';

return await splitBill({ bill: 90, tipPercent: 10, people: 3 });
`;

const teacher = await saveSkill();
console.log(`First microVM   ${teacher}: saved the skill split-bill, and is gone`);

await using cell = await openCell();
const customer = cell.customer(CUSTOMER);
const { skills } = await customer.workspace();
const card = await skills.readFile('split-bill/SKILL.md', { maxBytes: 10_000 });
console.log(`On the host     ${/^description: (.*)$/m.exec(card.toString())?.[1]}`);
const result = await customer.execute({ code: PUPIL });
const pupil = microvmOf(result).id;
console.log(`Second microVM  ${pupil}: imported it; each of three people pays ${result.value}`);

assert.notEqual(pupil, teacher);
assert.equal(result.value, 33);
assert.match(card.toString(), /^---\nname: split-bill\ndescription: \S.*\n---\n/);
const files = (await skills.list('split-bill')).entries.map(({ name }) => name);
assert.deepEqual(files, ['SKILL.md', 'index.ts']);

async function saveSkill(): Promise<string> {
  await using firstCell = await openCell();
  const newcomer = await freshCustomer(firstCell, CUSTOMER);
  return microvmOf(await newcomer.execute({ code: TEACHER })).id;
}
