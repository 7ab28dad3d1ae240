// Opens the session named by the arguments, starts one execution after another, and dies at the time that they name that a file is synced.
import { newExecutionId, parseCustomerId, parseSessionId } from '../../../src/core/ids.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { dieAtSync } from '../../crash/die-at-sync.ts';
import { recordStart } from '../../support/record-execution.ts';

const [sessionsPath = '', id, count, isAfter] = process.argv.slice(2);
const store = new SessionStore({ customer: parseCustomerId('acme'), sessionsPath });
const log = await store.openOrCreate(parseSessionId(id));
await dieAtSync({ count: Number(count), isAfter: isAfter === 'after' });
for (;;) await recordStart(log, newExecutionId());
