import { expect, test } from 'vitest';
import { parseCustomerId, parseSessionId } from '../../../src/core/ids.ts';
import type { SessionEvent } from '../../../src/sessions/events.ts';
import { recallSession } from '../../../src/sessions/recall-session.ts';
import { SessionMemory } from '../../../src/sessions/session-memory.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { recordFinish, recordOutput, recordStart } from '../../support/record-execution.ts';
import { temporaryFolder } from '../util/temporary-folder.ts';

/** The same numbers for the same seed. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

test.each([1, 2, 3, 4, 5, 6])('what is recalled by the index is what the whole log tells (seed %i)', async (seed) => {
  const random = randomNumbers(seed);
  const store = new SessionStore({ customer: parseCustomerId('acme'), sessionsPath: await temporaryFolder() });
  await using log = await store.create(parseSessionId('s1'));
  const open: string[] = [];
  const cut: string[] = [];
  const asked: SessionEvent[] = [];
  const take = (from: string[]) => from.splice(random(from.length), 1)[0];
  for (let step = 0; step < 150; step++) {
    const [running, interrupted] = [open[random(open.length || 1)], random(4) === 0 ? take(cut) : undefined];
    const choice = random(10);
    if (choice < 3) {
      open.push(`e${step}`);
      await recordStart(log, `e${step}`);
    } else if (choice < 5 && running !== undefined) {
      open.splice(open.indexOf(running), 1);
      const isCut = random(3) === 0;
      if (isCut) cut.push(running);
      await recordFinish(log, running, isCut ? 'interrupted' : 'completed');
    } else if (choice < 6 && running !== undefined) {
      const approval = { executionId: running, call: step, approvalId: `apr_${step}` };
      asked.push({ type: 'approval.decided', ...approval, approved: true, by: 'ann', reason: null });
      await log.append({ type: 'approval.requested', ...approval, server: 's', tool: 't', arguments: {} });
    } else if (choice < 7 && asked.length > 0)
      await log.append(asked.splice(random(asked.length), 1)[0] as SessionEvent);
    else if (choice < 8) await log.append({ type: 'checkpoint.set', step, lastTask: null, context: { step } });
    else if (choice < 9)
      await log.append({ type: random(2) === 0 ? 'session.closed' : 'session.resumed', interrupted: [] });
    else if (running !== undefined) await recordOutput(log, running, 'text');
    if (interrupted !== undefined) {
      open.push(interrupted);
      await log.append({ type: 'execution.resumed', executionId: interrupted, attempt: 2, replay: false });
    }
  }
  const [whole, half] = [new SessionMemory(), new SessionMemory()];
  for await (const event of log.read()) {
    if (event.seq < 80) half.push(event);
    whole.push(event);
  }
  expect((await recallSession(await log.openReader(), 80)).remembered).toEqual(half.remembered);
  const recalled = await recallSession(await log.openReader());
  expect(recalled.remembered).toEqual(whole.remembered);
  expect(whole.remembered.history.length).toBeGreaterThan(5);
  expect(whole.remembered.unfinished.length).toBeGreaterThan(0);
});
