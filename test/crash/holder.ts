/**
 * A process that holds a cell until it is killed: `node holder.ts CONFIG`. It says when it is ready, waits for one command on
 * standard input, and tells on standard output, a JSON text a line, what it was told was done.
 */
import { createInterface } from 'node:readline';
import { createWorkcell } from '../../src/workcell/workcell.ts';
import { dieAtSync } from './die-at-sync.ts';
import type { Command, Told } from './holder-messages.ts';

const CUSTOMER = 'ann';

const cell = await createWorkcell({ config: String(process.argv[2]) });
const customer = cell.customer(CUSTOMER);
tell({ kind: 'ready' });
for await (const line of createInterface({ input: process.stdin })) {
  await perform(JSON.parse(line) as Command);
  break;
}
await cell.close();
process.exit(0);

async function perform(command: Command): Promise<void> {
  if (command.dieAtSync !== undefined) await dieAtSync(command.dieAtSync);
  const { execution, session, program, language } = command;
  const { files } = await customer.workspace();
  await files.writeFile(command.hostFile, command.hostFile);
  tell({ kind: 'written', path: command.hostFile });
  if (command.isNew)
    await customer.start({ executionId: execution, session, code: program, language, timeoutMs: 600_000 });
  else if (command.whole) await customer.resumeSession(session, { replay: true });
  else await customer.resumeExecution(execution, { replay: true });
  for await (const event of customer.watch(execution, { follow: true })) tell({ kind: 'event', event });
  tell({ kind: 'over' });
}

function tell(told: Told): void {
  // Where the process is recorded.
  const acknowledge = (globalThis as { [key: symbol]: unknown })[Symbol.for('test.acknowledged')];
  if (typeof acknowledge === 'function') acknowledge(told);
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
