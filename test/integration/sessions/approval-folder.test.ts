import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { approvalIdOf } from '../../../src/core/approval.ts';
import type { PendingApproval } from '../../../src/core/execution.ts';
import { parseExecutionId, parseSessionId } from '../../../src/core/ids.ts';
import { ApprovalFolder } from '../../../src/sessions/approval-folder.ts';
import { eventually } from '../../support/processes.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

const executionId = parseExecutionId('exe_1');
const ID = approvalIdOf(executionId, 1);
let temp: TempFolder;
let folder: ApprovalFolder;

beforeEach(async () => {
  temp = await tempFolder();
  folder = new ApprovalFolder(join(temp.path, 'approvals'));
});

afterEach(() => temp[Symbol.asyncDispose]());

function request(ordinal: number, more: Partial<PendingApproval> = {}): PendingApproval {
  return {
    approvalId: approvalIdOf(executionId, ordinal),
    executionId,
    sessionId: parseSessionId('ses_1'),
    call: ordinal,
    server: 'bank',
    tool: 'pay',
    arguments: { cents: [1, null] },
    requestedAt: '2026-01-01T00:00:00.000Z',
    ...more,
  };
}

describe('the folder of approvals', () => {
  it('lists requests, oldest first, until they are removed', async () => {
    expect(await folder.list()).toEqual([]);
    const late = request(1, { requestedAt: '2026-01-02T00:00:00.000Z' });
    for (const each of [late, request(3), request(2)]) await folder.add(each);
    await folder.decide(ID, { approved: true, by: 'ann' });
    expect(await folder.list()).toEqual([request(2), request(3), late]);
    await folder.remove(ID);
    await folder.remove(ID);
    expect(await folder.list()).toEqual([request(2), request(3)]);
    expect(await folder.findDecision(ID)).toBeUndefined();
  });

  it('lets one of many contrary decisions win, and tells all of them which', async () => {
    await folder.add(request(1));
    const both = await Promise.all(
      Array.from({ length: 20 }, (_, index) => folder.decide(ID, { approved: index % 2 === 0, by: `user ${index}` })),
    );
    expect(new Set(both.map((each) => JSON.stringify(each))).size).toBe(1);
    expect(await folder.findDecision(ID)).toEqual(both[0]);
    expect((await readdir(join(temp.path, 'approvals'))).sort()).toEqual([`${ID}.decision.json`, `${ID}.json`]);
  });

  it('tells whoever watches of a decision, also when it is made while nobody has used the folder', async () => {
    let told = 0;
    using _watch = folder.watch(() => {
      told += 1;
    });
    await folder.add(request(1));
    await eventually(() => told > 0);
  });

  it.each(['../../etc/passwd', 'apr_', 'apr_exe', 'apr_exe/1_1', 'apr_exe_1_0', 'exe_1_1', ''])(
    'knows no approval %j, and touches no file for it',
    async (id) => {
      await expect(folder.find(id)).rejects.toMatchObject({ code: 'not_found' });
      await expect(folder.decide(id, { approved: true, by: 'ann' })).rejects.toMatchObject({ code: 'not_found' });
    },
  );

  it('does not take a damaged file for a decision', async () => {
    await folder.add(request(1));
    await writeFile(join(temp.path, 'approvals', `${ID}.decision.json`), '{"approved":"yes"}');
    await expect(folder.findDecision(ID)).rejects.toMatchObject({ code: 'storage_failed' });
  });
});
