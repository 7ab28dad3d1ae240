// Opens the session named by the arguments and records executions until it is killed; prints the id of each whose start is on disk.
import { newExecutionId, parseCustomerId, parseSessionId } from '../../../src/core/ids.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { recordFinish, recordOutput, recordStart } from '../../support/record-execution.ts';

const [sessionsPath = '', id] = process.argv.slice(2);
const store = new SessionStore({ customer: parseCustomerId('acme'), sessionsPath });
const log = await store.openOrCreate(parseSessionId(id));
for (;;) {
  const execution = newExecutionId();
  await recordStart(log, execution);
  process.stdout.write(`${execution}\n`);
  await recordOutput(log, execution, 'x'.repeat(2_000));
  await recordFinish(log, execution);
}
