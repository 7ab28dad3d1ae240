// A session moves from one host to another, with keys of their own, and goes on there.
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Secret } from '../../src/util/secret.ts';
import { type Cell, openCell } from '../support/cell.ts';
import { stdioServer } from '../support/mcp-servers.ts';
import { descendantsNamed, eventually } from '../support/processes.ts';
import { tempFolder } from '../support/temp-folder.ts';

const COUNTER = join(import.meta.dirname, '../support/counter-server.ts');
const PROGRAM = `
  import { readFileSync, writeFileSync } from 'node:fs';
  import { increment } from 'servers/plain';
  import { session } from 'servers/runtime';
  if (session.attempt === 1) writeFileSync('notes.txt', 'from the first host');
  const first = await increment({ counter: 'moved', mark: 'before' });
  if (session.attempt === 1) { console.log('cut'); await new Promise(() => setInterval(() => {}, 1000)); }
  const second = await increment({ counter: 'moved', mark: 'after' });
  return { notes: readFileSync('notes.txt', 'utf8'), checkpoint: session.checkpoint, past: session.history.length, marks: [first.mark, second.mark] };`;

/** `counters`: where the upstream server keeps its counters, which both hosts call. */
async function newHost(counters: string): Promise<Cell> {
  const cell = await openCell({
    mcpServers: { plain: stdioServer(process.execPath, [COUNTER, counters, 'plain']) },
    sandbox: { driver: 'bubblewrap', isolation: 'process' },
    sessions: { encryptionKey: randomBytes(32).toString('base64') },
  });
  onTestFinished(() => cell[Symbol.asyncDispose]());
  return cell;
}

it('a session that was cut off is exported, imported elsewhere for another customer, and resumes there', async () => {
  await using counters = await tempFolder();
  const [from, to] = [await newHost(counters.path), await newHost(counters.path)];
  const ann = from.workcell.customer('ann');
  const before = "import { checkpoint } from 'servers/runtime'; await checkpoint('fetched', { rows: 3 });";
  await ann.execute({ code: before, session: 'mine' });
  const { id } = await ann.start({ code: PROGRAM, session: 'mine', executionId: 'exe-moved' });
  for await (const event of ann.watch(id, { follow: true })) {
    if (event.type !== 'stdout' || !event.text.includes('cut')) continue;
    for (const pid of await descendantsNamed('bwrap')) process.kill(pid, 'SIGKILL');
  }
  await eventually(async () => (await descendantsNamed('bwrap')).length === 0);
  const passphrase = new Secret('over the wire');
  const archive = await ann.exportSession('mine', { passphrase });

  const bob = to.workcell.customer('bob');
  expect(await bob.importSession(archive, { passphrase, as: 'theirs' })).toMatchObject({ executions: 2 });
  const { resumed, interrupted, checkpoint } = await bob.resumeSession('theirs', { replay: true });
  expect(interrupted).toEqual(['exe-moved']);
  expect(checkpoint).toMatchObject({ step: 'fetched', context: { rows: 3 } });
  expect(await resumed[0]?.result()).toMatchObject({
    status: 'completed',
    value: {
      notes: 'from the first host',
      checkpoint: { step: 'fetched', context: { rows: 3 } },
      past: 1,
      marks: ['before', 'after'],
    },
  });
  // The call that had returned on the first host was answered from the log.
  expect(await readdir(join(counters.path, 'moved'))).toHaveLength(2);
  expect(await bob.executionSummary('exe-moved')).toMatchObject({ sessionId: 'theirs', state: 'completed' });
  // Where it came from, it is as it was.
  expect(await ann.executionSummary('exe-moved')).toMatchObject({ state: 'interrupted' });
});
