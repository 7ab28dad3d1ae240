/** One program, three tools of two servers: what one gives is what the next one gets. */

import assert from 'node:assert/strict';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Customer } from '../../src/index.ts';
import { freshCustomer, microvmOf, openCell, SHARED } from '../support.ts';

const FOLDER = join(SHARED, 'example-02-chain');

const PROGRAM = `
import { createEntities, searchNodes } from 'servers/memory';
import { writeFile } from 'servers/filesystem';

const created = await createEntities({
  entities: [
    { name: 'Ada of example 02', entityType: 'engineer of example 02', observations: ['writes the first program'] },
    { name: 'Grace of example 02', entityType: 'engineer of example 02', observations: ['finds the first bug'] },
  ],
});
const found = await searchNodes({ query: created.entities[0].entityType });
const lines = found.entities.map(({ name, observations }) => '- ' + name + ' ' + observations.join(', '));
await writeFile({ path: 'example-02-chain/engineers.md', content: ['# Engineers', ...lines, ''].join('\\n') });
return { created: created.entities.length, found: found.entities.length };
`;

await using cell = await openCell();
const customer = await freshCustomer(cell, 'example-02-chain');
await rm(FOLDER, { recursive: true, force: true });
await mkdir(FOLDER, { recursive: true });
await forgetEngineers(customer);
try {
  const result = await customer.execute({ code: PROGRAM });
  microvmOf(result);
  const written = await readFile(join(FOLDER, 'engineers.md'), 'utf8');
  const remembered = await readFile(join(SHARED, 'memory.jsonl'), 'utf8');

  console.log('Tool calls of one program');
  for (const { seq, server, tool, ms, ok } of result.calls) {
    console.log(`  ${seq}. ${server}.${tool}  ${ok ? 'ok' : 'failed'}, ${ms} ms`);
  }
  console.log(`\nWritten by the last one\n${written.replace(/^/gm, '  ').trimEnd()}`);

  assert.deepEqual(result.value, { created: 2, found: 2 });
  assert.deepEqual(
    result.calls.map(({ server, tool, ok }) => [server, tool, ok]),
    [
      ['memory', 'create_entities', true],
      ['memory', 'search_nodes', true],
      ['filesystem', 'write_file', true],
    ],
  );
  const expected = '- Ada of example 02 writes the first program\n- Grace of example 02 finds the first bug\n';
  assert.equal(written, `# Engineers\n${expected}`);
  assert.match(remembered, /"name":"Ada of example 02"/);
} finally {
  await forgetEngineers(customer);
  await rm(FOLDER, { recursive: true, force: true });
}

async function forgetEngineers(of: Customer): Promise<void> {
  const code = `
    import { deleteEntities } from 'servers/memory';
    await deleteEntities({ entityNames: ['Ada of example 02', 'Grace of example 02'] });
  `;
  microvmOf(await of.execute({ code }));
}
