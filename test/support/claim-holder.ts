// Claims the execution that the arguments name, says so, and never starts it; whoever started this process kills it.
import { parseCustomerId, parseExecutionId } from '../../src/core/ids.ts';
import { SessionStore } from '../../src/sessions/session-store.ts';
import { Deadline } from '../../src/util/deadline.ts';

const [sessionsPath = '', id] = process.argv.slice(2);
const store = new SessionStore({ customer: parseCustomerId('ann'), sessionsPath });
await store.claim(parseExecutionId(id), new Deadline('Claiming', 10_000));
process.stdout.write('claimed\n');
setInterval(() => {}, 1000);
