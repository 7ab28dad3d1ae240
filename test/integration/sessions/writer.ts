// Opens the session named by the arguments and appends to it until it is killed; prints the number of each event that is on disk.
import { parseCustomerId, parseSessionId } from '../../../src/core/ids.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';

const [sessionsPath = '', id] = process.argv.slice(2);
const store = new SessionStore({ customer: parseCustomerId('acme'), sessionsPath });
const log = await store.openOrCreate(parseSessionId(id));
for (;;) {
  const batch = Array.from({ length: 3 }, (_, index) =>
    log.append({ type: 'output', executionId: 'e1', stream: 'stdout', text: 'x'.repeat(index * 5_000) }),
  );
  for (const { seq } of await Promise.all(batch)) process.stdout.write(`${seq}\n`);
}
