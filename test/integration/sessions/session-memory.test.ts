import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseCustomerId, parseSessionId } from '../../../src/core/ids.ts';
import type { SessionEvent } from '../../../src/sessions/events.ts';
import { recallSession } from '../../../src/sessions/recall-session.ts';
import type { SessionLog } from '../../../src/sessions/session-log.ts';
import { HISTORY_LIMITS, SessionMemory } from '../../../src/sessions/session-memory.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';
import { SAMPLE_EVENTS } from '../../unit/sessions/sample-events.ts';

let folder: TempFolder;
let session: SessionLog;

beforeEach(async () => {
  folder = await tempFolder();
  const store = new SessionStore({ customer: parseCustomerId('ann'), sessionsPath: folder.path });
  session = await store.create(parseSessionId('s'));
});

afterEach(async () => {
  await session.close();
  await folder[Symbol.asyncDispose]();
});

type Finished = Extract<SessionEvent, { readonly type: 'execution.finished' }>;

const started = (executionId: string, task: string | null = null) =>
  ({ ...SAMPLE_EVENTS.find(({ type }) => type === 'execution.started'), executionId, task }) as SessionEvent;
const finished = (executionId: string, value: unknown, status: Finished['status'] = 'completed') =>
  ({ ...SAMPLE_EVENTS.find(({ type }) => type === 'execution.finished'), executionId, status, value }) as SessionEvent;
const resumed = (executionId: string): SessionEvent => ({
  type: 'execution.resumed',
  executionId,
  attempt: 2,
  replay: true,
});
const checkpoint = (step: number): SessionEvent => ({
  type: 'checkpoint.set',
  step,
  lastTask: `t${step}`,
  context: { step },
});

async function append(...events: readonly SessionEvent[]): Promise<void> {
  await Promise.all(events.map((event) => session.append(event)));
}

/** What the index tells, after making sure that the whole log tells the same. */
async function recalled() {
  const whole = new SessionMemory();
  for await (const event of session.read()) whole.push(event);
  const { remembered } = await recallSession(await session.openReader());
  expect(remembered).toEqual(whole.remembered);
  return remembered;
}

it('a new session remembers nothing', async () => {
  expect(await recalled()).toEqual({ checkpoint: null, history: [], isClosed: false, unfinished: [] });
});

it('the latest checkpoint, and what executions gave, are remembered, and not what was cut off', async () => {
  await append(started('e1', 'first'), checkpoint(1), started('e2'), finished('e2', 2), checkpoint(2));
  await append(finished('e1', { a: 1 }), started('e3'), started('e4'), finished('e4', null, 'interrupted'));
  expect(await recalled()).toEqual({
    checkpoint: { step: 2, lastTask: 't2', context: { step: 2 } },
    history: [
      { executionId: 'e2', task: null, status: 'completed', value: 2 },
      { executionId: 'e1', task: 'first', status: 'completed', value: { a: 1 } },
    ],
    isClosed: false,
    unfinished: ['e3', 'e4'],
  });
  await append(resumed('e4'), finished('e4', 'done', 'failed'));
  expect((await recalled()).history.at(-1)).toEqual({ executionId: 'e4', task: null, status: 'failed', value: 'done' });
});

it('a session is closed until it is resumed', async () => {
  await append({ type: 'session.closed' });
  expect((await recalled()).isClosed).toBe(true);
  await append({ type: 'session.resumed', interrupted: [] });
  expect((await recalled()).isClosed).toBe(false);
});

it('of many executions the last are remembered, and of large values that they are', async () => {
  const { executions, valueBytes, taskLength } = HISTORY_LIMITS;
  const count = executions + 2;
  for (let n = 0; n < count; n++) {
    const value = 'x'.repeat(valueBytes - 2 + (n === count - 1 ? 1 : 0));
    await append(started(`e${n}`, 't'.repeat(taskLength + 1)), finished(`e${n}`, value));
  }
  const { history } = await recalled();
  expect(history.map(({ executionId }) => executionId)).toEqual(
    Array.from({ length: executions }, (_, n) => `e${n + 2}`),
  );
  expect(history[0]).toMatchObject({ task: 't'.repeat(taskLength), value: 'x'.repeat(valueBytes - 2) });
  expect(history.at(-1)).toMatchObject({ value: null, truncated: true });
});
