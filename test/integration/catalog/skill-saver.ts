// Saves the skill named by the arguments below a folder, over and over, each time with another number, until it is killed; prints
// the number of each that was saved.
import { SkillStore } from '../../../src/catalog/skill-store.ts';
import { GatedFiles } from '../../../src/util/gated-files.ts';

const [root = '', name = '', mode] = process.argv.slice(2);
const store = new SkillStore(new GatedFiles(root), 'own');
for (let number = 1; ; number++) {
  const code = new Map([['index.ts', `export const number = ${number};\n${'// filler\n'.repeat(5_000)}`]]);
  const record = JSON.stringify({ v: 1, execution: `exe_${number}`, savedAt: '2026-01-01T00:00:00.000Z', tools: [] });
  const document = `---\nname: ${name}\ndescription: Number ${number}\n---\n`;
  if (mode === 'anew' && number > 1) await store.remove(name);
  await store.save(name, { document, record, code }, { replace: mode === 'replace' });
  process.stdout.write(`${number}\n`);
}
