import { createInterface } from 'node:readline';
import { isWorkcellError } from '../../../src/core/errors.ts';
import { parseCustomerId, parseSessionId } from '../../../src/core/ids.ts';
import type { SessionLog } from '../../../src/sessions/session-log.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { WorkspaceStore } from '../../../src/workspaces/workspace-store.ts';

// One of several servers on the same storage: <root> <lease in ms>. Each line of stdin is a command, each of stdout its outcome.
const [root = '', ttl = ''] = process.argv.slice(2);
const store = new WorkspaceStore({
  root,
  lease: { ttlMs: Number(ttl), onLost: () => process.stdout.write('"lost"\n') },
});
const workspace = await store.open(parseCustomerId('acme'));
const sessions = new SessionStore(workspace);
const session = parseSessionId('shared');
let log: SessionLog | undefined;

const commands: Record<string, (text: string) => Promise<unknown>> = {
  open: async () => {
    log = await sessions.openOrCreate(session);
  },
  append: async (text) =>
    (await log?.append({ type: 'checkpoint.set', step: text, lastTask: null, context: null }))?.seq,
  write: async (text) => {
    await using share = await workspace.tenure.share();
    await workspace.files.writeFile('f', text, { check: () => share.assertHeld() });
  },
  close: async () => {
    await log?.close();
    log = undefined;
  },
  leave: () => store.close(),
};
process.stdout.write('"ready"\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [name = '', text = ''] = line.split(' ');
  const outcome = await (commands[name]?.(text) ?? Promise.reject(new Error(name))).catch((error: unknown) =>
    isWorkcellError(error) ? { code: error.code, ...error.details } : { code: String(error) },
  );
  process.stdout.write(`${JSON.stringify(outcome ?? 'done')}\n`);
}
