// Records tasks in a file of usage: as many as it is told, or until it is killed.
import { CustomerUsage } from '../../src/workcell/customer-usage.ts';

const [path = '', name = '', rounds = ''] = process.argv.slice(2);
const usage = new CustomerUsage(path);
for (let i = 0; rounds === '' || i < Number(rounds); i++) {
  const task = [...String(i)].map((digit) => 'abcdefghij'[Number(digit)]).join('');
  await usage.record({ task, tools: [{ server: 's', tool: name, schemaHash: 'h' }], at: new Date() });
  if (i === 0) process.stdout.write('started\n');
}
