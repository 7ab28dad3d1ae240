// Opens a Workcell and starts an execution for each id that a line of stdin has; answers each with a line: whether it was.
import { createInterface } from 'node:readline';
import { createWorkcell } from '../../src/workcell/workcell.ts';

await using workcell = await createWorkcell({ config: String(process.argv[2]) });
process.stdout.write('ready\n');
for await (const executionId of createInterface(process.stdin)) {
  // It does not compile, so it ends without a sandbox; what it was asked for is in the log all the same.
  const { isNew } = await workcell.customer('ann').start({ executionId, code: 'return (' });
  process.stdout.write(`${isNew ? 'new' : 'known'}\n`);
}
