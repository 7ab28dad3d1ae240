import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parseCustomerId, parseExecutionId, parseSessionId } from '../../../src/core/ids.ts';
import { ApprovalFolder } from '../../../src/sessions/approval-folder.ts';
import { pruneSessions } from '../../../src/sessions/prune-sessions.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { createWorkcell } from '../../../src/workcell/workcell.ts';
import { writeConfig } from '../../support/cell-config.ts';
import { recordExecution, recordStart } from '../../support/record-execution.ts';
import { temporaryFolder } from '../util/temporary-folder.ts';

const customer = parseCustomerId('acme');

test('what waits for a decision is kept, however old it is', async () => {
  const folder = await temporaryFolder();
  const cell = await createWorkcell({ config: await writeConfig(folder, { sessions: { retention: '1d' } }) });
  onTestFinished(() => cell.close());
  const acme = cell.customer('acme');
  const { sessionsPath, approvalsPath } = await acme.workspace();
  const store = new SessionStore({ customer: customer, sessionsPath });
  const [sessionId, executionId] = [parseSessionId('waits'), parseExecutionId('e1')];
  const pay = { executionId, call: 1, server: 'bank', tool: 'pay', arguments: {} };
  const approval = { ...pay, approvalId: 'apr_e1_1' };
  {
    await using waits = await store.create(sessionId);
    await recordStart(waits, 'e1');
    await waits.append({ type: 'tool.called', ...pay });
    await waits.append({ type: 'approval.requested', ...approval });
    await using over = await store.create(parseSessionId('over'));
    await recordExecution(over, 'e2');
  }
  const keys = { current: undefined, old: [] };
  await new ApprovalFolder({ customer, path: approvalsPath, keys }).add(approval.approvalId);
  for (const id of ['waits', 'over']) await utimes(join(sessionsPath, `${id}.jsonl`), 0, 0);
  expect(await acme.pruneSessions()).toMatchObject({
    deleted: [{ sessionId: 'over' }],
    kept: [{ sessionId: 'waits', reason: 'a call in it waits to be approved' }],
  });
  expect(await acme.listSessions()).toEqual(['waits']);
});

test('two that prune at the same time delete each session once, and neither says that one is left', async () => {
  const sessionsPath = await temporaryFolder();
  const stores = [1, 2].map(() => new SessionStore({ customer: customer, sessionsPath }));
  const ids = Array.from({ length: 20 }, (_, index) => `s${String(index).padStart(2, '0')}`);
  for (const id of ids) await (await stores[0]?.create(parseSessionId(id)))?.close();
  for (const id of ids) await utimes(join(sessionsPath, `${id}.jsonl`), 0, 0);
  const reports = await Promise.all(stores.map((store) => pruneSessions(store, { before: new Date() })));
  const deleted = reports.flatMap((report) => report.deleted.map(({ sessionId }) => sessionId));
  const left = await stores[0]?.list();
  expect([...deleted, ...(left ?? [])].sort()).toEqual(ids);
  for (const { reason } of reports.flatMap(({ kept }) => kept)) expect(reason).toMatch(/in use/);
});
