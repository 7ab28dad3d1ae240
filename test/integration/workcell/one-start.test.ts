// Processes that are asked for the same execution at the same moment.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseCustomerId, parseExecutionId } from '../../../src/core/ids.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { Deadline } from '../../../src/util/deadline.ts';
import { writeConfig } from '../../support/cell-config.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { nextLine, startChild } from '../util/child.ts';

const RACER = new URL('../../support/execution-racer.ts', import.meta.url);
const HOLDER = new URL('../../support/claim-holder.ts', import.meta.url);

test('of several processes that are asked for the same new execution at once, one runs it, and all tell of it', async () => {
  await using folder = await tempFolder();
  const config = await writeConfig(folder.path);
  const racers = [1, 2, 3].map(() => startChild(RACER, [config]));
  expect(await Promise.all(racers.map(nextLine))).toEqual(['ready', 'ready', 'ready']);
  const ids = Array.from({ length: 40 }, (_, index) => `race-${index}`);
  for (const id of ids) {
    const answers = Promise.all(racers.map(nextLine));
    for (const racer of racers) racer.say(id);
    expect((await answers).toSorted()).toEqual(['known', 'known', 'new']);
  }
  expect((await startsIn(join(folder.path, 'workspaces/ann/sessions'))).toSorted()).toEqual(ids.toSorted());
});

test('an execution that another process is about to start is waited for, and started when that was killed', async () => {
  await using folder = await tempFolder();
  const holder = startChild(HOLDER, [folder.path, 'e1']);
  expect(await nextLine(holder)).toBe('claimed');
  const store = new SessionStore({ customer: parseCustomerId('ann'), sessionsPath: folder.path });
  using soon = new Deadline('Claiming', 100);
  await expect(store.claim(parseExecutionId('e1'), soon)).rejects.toMatchObject({ code: 'deadline_exceeded' });
  using later = new Deadline('Claiming', 30_000);
  await using _other = await store.claim(parseExecutionId('e2'), later);
  const waiting = store.claim(parseExecutionId('e1'), later);
  await holder.kill();
  {
    await using _claim = await waiting;
    expect(await store.locate(parseExecutionId('e1'))).toBeUndefined();
  }
  expect(await readdir(folder.path)).toEqual(['.e2.start']);
});

/** The executions that the logs in a folder say were started, each as often as that. */
async function startsIn(sessions: string): Promise<readonly string[]> {
  const names = (await readdir(sessions)).filter((name) => name.endsWith('.jsonl'));
  const logs = await Promise.all(names.map((name) => readFile(join(sessions, name), 'utf8')));
  return logs
    .flatMap((log) => log.trimEnd().split('\n'))
    .map((line) => JSON.parse(line))
    .flatMap(({ type, executionId }) => (type === 'execution.started' ? [executionId] : []));
}
