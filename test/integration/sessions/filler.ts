// Appends to the session named by the arguments until the limit on the size of a file makes that fail, lifts the limit and
// appends once more. Prints what it saw as one line of JSON.
import { execFileSync } from 'node:child_process';
import { parseCustomerId, parseSessionId } from '../../../src/core/ids.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';

const [sessionsPath = '', id] = process.argv.slice(2);
const store = new SessionStore({ customer: parseCustomerId('acme'), sessionsPath });
const log = await store.create(parseSessionId(id));
let acknowledged = 1;

async function append(): Promise<unknown> {
  try {
    acknowledged = (await log.append({ type: 'output', executionId: 'e1', stream: 'stdout', text: 'x'.repeat(5_000) }))
      .seq;
    return undefined;
  } catch (error) {
    return error;
  }
}

let failure = await append();
while (failure === undefined) failure = await append();
execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=unlimited:']);
const next = await append();
await log.close();
process.stdout.write(`${JSON.stringify({ acknowledged, failures: [failure, next] })}\n`);
