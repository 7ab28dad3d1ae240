/** A task in words: which tool fits, why, and what it gives. */

import assert from 'node:assert/strict';
import { isWorkcellError } from '../../src/index.ts';
import { freshCustomer, microvmOf, openCell } from '../support.ts';

const TASK = 'Calculate 5 + 3';

await using cell = await openCell();
const customer = await freshCustomer(cell, 'example-01-basic');

console.log('Servers');
for (const server of cell.listServers()) {
  console.log(`  ${server.name}: ${server.status === 'ready' ? `${server.tools.length} tools` : server.problem}`);
}

console.log('\nSearch: create entities in a knowledge graph');
const { hits: found } = await cell.searchTools('create entities in a knowledge graph', { limit: 3 });
for (const { server, tool, score, reasons } of found) {
  console.log(`  ${server}.${tool}  ${score.toFixed(2)}  ${reasons.join('; ')}`);
}

console.log(`\nTask: ${TASK}`);
const result = await customer.execute({ task: TASK });
const microvm = microvmOf(result);
const [selected] = result.selection.tools;
console.log(`  selected  ${selected?.server}.${selected?.tool}, 1 of ${result.selection.considered} tools`);
console.log(`  because   ${selected?.reasons.join('; ')}`);
for (const line of result.program.split('\n')) console.log(`  | ${line}`);
console.log(`  result    ${result.value}`);
console.log(`  ran in    ${microvm.driver} (${microvm.isolation}), ${Math.round(result.timing.totalMs)} ms in all`);

assert.equal(result.value, 8);
assert.equal(selected?.server, 'calculator');
assert.equal(found[0]?.server, 'memory');
assert.equal(found[0]?.tool, 'create_entities');
assert.match(result.program, /^import \{ \w+ \} from 'servers\/calculator';\n/);

console.log('\nTask: order a pizza');
const refusal = await customer.execute({ task: 'order a pizza' }).catch((error: unknown) => error);
assert.ok(isWorkcellError(refusal));
assert.equal(refusal.code, 'no_matching_tool');
console.log(`  ${refusal.code}: ${refusal.message}`);
