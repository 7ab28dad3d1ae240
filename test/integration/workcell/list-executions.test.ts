import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseCustomerId, parseSessionId } from '../../../src/core/ids.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { createWorkcell } from '../../../src/workcell/workcell.ts';
import { writeConfig } from '../../support/cell-config.ts';
import { recordExecution, recordFinish, recordStart } from '../../support/record-execution.ts';
import { tempFolder } from '../../support/temp-folder.ts';

test('a list of executions tells where each stands, as their summaries do', async () => {
  await using folder = await tempFolder();
  await using workcell = await createWorkcell({ config: await writeConfig(folder.path) });
  const ann = workcell.customer('ann');
  await ann.createSession('empty');
  const sessionsPath = join(folder.path, 'workspaces/ann/sessions');
  // What another process has done, and does.
  const others = new SessionStore({ customer: parseCustomerId('ann'), sessionsPath });
  {
    await using log = await others.create(parseSessionId('past'));
    const call = { call: 1, server: 'bank', tool: 'pay', arguments: {} };
    await recordExecution(log, 'done');
    await recordStart(log, 'given-up');
    await recordFinish(log, 'given-up', 'interrupted');
    await recordStart(log, 'again');
    await recordFinish(log, 'again', 'interrupted');
    await log.append({ type: 'execution.resumed', executionId: 'again', attempt: 2, replay: true });
    await recordStart(log, 'waits');
    await log.append({ type: 'approval.requested', executionId: 'waits', approvalId: 'apr_waits_1', ...call });
    await recordStart(log, 'waited');
    await log.append({ type: 'tool.called', executionId: 'waited', ...call });
    await log.append({ type: 'approval.requested', executionId: 'waited', approvalId: 'apr_waited_1', ...call });
    const error = { code: 'cancelled', message: 'given up', retryable: false, details: {} };
    await log.append({ type: 'tool.returned', executionId: 'waited', call: 1, ms: 1, ok: false, error });
    await recordStart(log, 'cut-off');
  }
  const current = await others.create(parseSessionId('present'));
  await recordStart(current, 'runs');
  await writeFile(join(sessionsPath, 'unreadable.jsonl'), 'not JSON\n');

  const list = async () => {
    const states: string[] = [];
    let before: Parameters<typeof ann.listExecutions>[0]['before'];
    for (let hasMore = true; hasMore; ) {
      const page = await ann.listExecutions({ limit: 3, before });
      states.push(...page.executions.map(({ executionId, state }) => `${executionId} ${state}`));
      before = page.executions.at(-1);
      hasMore = page.hasMore;
    }
    return states;
  };
  const listed = [
    'runs running',
    'cut-off interrupted',
    'waited interrupted',
    'waits paused',
    'again interrupted',
    'given-up interrupted',
    'done completed',
  ];
  expect(await list()).toEqual(listed);
  const summaries = listed.map(async (line) => {
    const { executionId, state } = await ann.executionSummary(line.split(' ')[0] ?? '');
    return `${executionId} ${state}`;
  });
  expect(await Promise.all(summaries)).toEqual(listed);

  await current.close();
  const { status } = await ann.execute({ code: 'return (', session: 'present' });
  expect(status).toBe('failed');
  const { executions } = await ann.listExecutions({ limit: 2 });
  expect(executions.map(({ state }) => state)).toEqual(['failed', 'interrupted']);
});
