// What becomes of executions without an outcome when their session is opened again, on real session files.
import { expect, test } from 'vitest';
import { parseCustomerId, parseSessionId } from '../../../src/core/ids.ts';
import type { SessionEvent } from '../../../src/sessions/events.ts';
import { readHistory } from '../../../src/sessions/execution-history.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { reopenSession } from '../../../src/workcell/session-changes.ts';
import { recordFinish, recordStart } from '../../support/record-execution.ts';
import { temporaryFolder } from '../util/temporary-folder.ts';

type Recorded = { [Type in SessionEvent['type']]: Omit<Extract<SessionEvent, { type: Type }>, 'executionId'> };
type Step = Recorded[SessionEvent['type']];

const customer = parseCustomerId('acme');
const tool = { server: 'bank', tool: 'pay' };
const approval = (id: string) => ({ call: 1, approvalId: `apr_${id}_1` });
const asked = (id: string): readonly Step[] => [
  { type: 'tool.called', call: 1, ...tool, arguments: {} },
  { type: 'approval.requested', ...approval(id), ...tool, arguments: {} },
];
const decided = (id: string, waiting?: false): Step => ({
  type: 'approval.decided',
  ...approval(id),
  approved: true,
  by: 'ann',
  reason: null,
  ...(waiting === undefined ? {} : { waiting }),
});
const RESUMED: Step = { type: 'execution.resumed', attempt: 2, replay: true };
const RETURNED: Step = { type: 'tool.returned', call: 1, ok: true, ms: 1, value: null };

const PAUSED: Readonly<Record<string, readonly Step[]>> = {
  waits: asked('waits'),
  decided: [...asked('decided'), decided('decided', false)],
  'asked-again': [...asked('asked-again'), decided('asked-again'), RESUMED, ...asked('asked-again')],
};
const INTERRUPTED: Readonly<Record<string, readonly Step[]>> = {
  'never-asked': [],
  told: [...asked('told'), decided('told')],
  'gave-up': [...asked('gave-up'), RETURNED],
  'runs-on': [...asked('runs-on'), decided('runs-on', false), RESUMED],
};

test('an execution is paused until its program was told of the decision, and cut off in every other state', async () => {
  const store = new SessionStore({ customer, sessionsPath: await temporaryFolder() });
  await using log = await store.create(parseSessionId('s1'));
  for (const [executionId, steps] of Object.entries({ ...PAUSED, ...INTERRUPTED, running: asked('running') })) {
    await recordStart(log, executionId);
    for (const step of steps) await log.append({ ...step, executionId } as SessionEvent);
  }
  await recordStart(log, 'settled');
  for (const step of asked('settled')) await log.append({ ...step, executionId: 'settled' } as SessionEvent);
  await recordFinish(log, 'settled', 'interrupted');
  await recordStart(log, 'ended');
  await recordFinish(log, 'ended');
  const interrupted = [...Object.keys(INTERRUPTED), 'settled'];
  const reopened = await reopenSession(log, new Set(['running']), customer);
  expect(reopened).toEqual({ checkpoint: null, paused: Object.keys(PAUSED), interrupted });
  expect(await Array.fromAsync(log.read())).toContainEqual(
    expect.objectContaining({ type: 'session.resumed', interrupted }),
  );
  for (const id of [...reopened.paused, ...reopened.interrupted]) {
    const history = await readHistory({ customer, sessionId: log.id, executionId: id }, log.read());
    expect([id, history.state(false)]).toEqual([id, reopened.paused.includes(id) ? 'paused' : 'interrupted']);
  }
});
