import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExecutionEvent, ExecutionResult, PendingApproval } from '../../src/core/execution.ts';
import type { Customer } from '../../src/workcell/customer.ts';
import type { ExecuteRequest } from '../../src/workcell/execute-request.ts';
import { type Cell, openCell } from '../support/cell.ts';
import { doubleServer } from '../support/mcp-servers.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const amount = { type: 'object', properties: { cents: { type: 'number' } }, required: ['cents'] };

let folder: TempFolder;
let cell: Cell;
let ann: Customer;

beforeAll(async () => {
  folder = await tempFolder();
  const tools = ['pay', 'refund', 'balance'].map((name) => ({ name, description: name, inputSchema: amount }));
  cell = await openCell({
    mcpServers: {
      bank: doubleServer({ tools, log: join(folder.path, 'log') }, { requireApproval: ['pay', 're*d'] }),
    },
    sandbox: { driver: 'bubblewrap', isolation: 'process' },
  });
  ann = cell.workcell.customer('ann');
});

afterAll(async () => {
  await cell?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

/** How many calls of the tool have reached the server. */
async function sent(tool: string): Promise<number> {
  const lines = (await readFile(join(folder.path, 'log'), 'utf8')).split('\n');
  return lines.filter((line) => line === `tools/call ${tool}`).length;
}

interface Started {
  readonly result: Promise<ExecutionResult>;
  readonly events: ExecutionEvent[];
  readonly approvals: (count: number) => Promise<readonly PendingApproval[]>;
}

function start(code: string, more: Partial<ExecuteRequest> = {}): Started {
  const events: ExecutionEvent[] = [];
  const result = ann.execute({ code, onEvent: (event) => events.push(event), ...more });
  result.catch(() => {});
  const approvals = (count: number) =>
    eventually(() => {
      const asked = events.flatMap((event) => (event.type === 'approval.required' ? [event.approval] : []));
      return asked.length >= count && asked;
    });
  return { result, events, approvals };
}

const paying = (cents: number) =>
  `import { pay } from 'servers/bank';\nreturn (await pay({ cents: ${cents} })).arguments;`;
const yes = { approved: true, by: 'bob' };

describe('a call that has to be approved', () => {
  it('waits, is not sent before, and is sent once when it is approved', async () => {
    const { result, events, approvals } = start(paying(101));
    const [approval] = await approvals(1);
    expect(approval).toMatchObject({ server: 'bank', tool: 'pay', call: 1, arguments: { cents: 101 } });
    expect(await ann.listApprovals()).toEqual([approval]);
    expect(await sent('pay')).toBe(0);
    await ann.decideApproval(String(approval?.approvalId), yes);
    expect(await result).toMatchObject({ status: 'completed', value: { cents: 101 } });
    expect(await sent('pay')).toBe(1);
    expect(events.map(({ type }) => type)).toEqual([
      'started',
      'tool.called',
      'approval.required',
      'approval.decided',
      'tool.returned',
      'finished',
    ]);
    expect(await ann.listApprovals()).toEqual([]);
  });

  it('fails, for the program to catch, when it is rejected', async () => {
    const code = `import { refund } from 'servers/bank';
try { await refund({ cents: 102 }); } catch ({ name, code, message, details }) { return { name, code, message, details }; }`;
    const { result, approvals } = start(code);
    const [approval] = await approvals(1);
    const id = String(approval?.approvalId);
    await ann.decideApproval(id, { approved: false, by: 'bob', reason: 'not today' });
    expect(await result).toMatchObject({
      status: 'completed',
      value: {
        name: 'ToolError',
        code: 'rejected',
        message: 'bank.refund was rejected by bob: not today',
        details: { approvalId: id, by: 'bob', reason: 'not today' },
      },
    });
    expect(await sent('refund')).toBe(0);
  });

  it('is decided once: the same decision again is fine, another one is not', async () => {
    const { result, approvals } = start(paying(103));
    const [approval] = await approvals(1);
    const id = String(approval?.approvalId);
    const decisions = await Promise.allSettled(
      [true, false, true, false].map((approved, index) => ann.decideApproval(id, { approved, by: `user ${index}` })),
    );
    const { status } = await result;
    const isApproved = status === 'completed';
    expect(decisions.map((each) => each.status === 'fulfilled')).toEqual(
      [true, false, true, false].map((approved) => approved === isApproved),
    );
    expect(await ann.decideApproval(id, { approved: isApproved, by: 'late' })).toMatchObject({ approved: isApproved });
    await expect(ann.decideApproval(id, { approved: !isApproved, by: 'late' })).rejects.toMatchObject({
      code: 'invalid_state',
    });
    expect(await readdir(join(cell.folder, 'workspaces/ann/approvals'))).toEqual([]);
  });

  it('does not need it for a tool that is not named, or that nothing is sent to', async () => {
    const code = `import { balance, pay } from 'servers/bank';
const failed = await pay({ cents: 'x' } as never).catch(({ code }) => code);
return [failed, (await balance({ cents: 104 })).arguments];`;
    const { result, events } = start(code);
    expect(await result).toMatchObject({ status: 'completed', value: ['invalid_arguments', { cents: 104 }] });
    expect(events.map(({ type }) => type)).not.toContain('approval.required');
  });

  it('does not use up the time of its program', async () => {
    const { result, approvals } = start(paying(105), { timeoutMs: 3_000 });
    const [approval] = await approvals(1);
    const before = performance.now();
    await eventually(() => performance.now() - before > 3_500);
    await ann.decideApproval(String(approval?.approvalId), yes);
    expect(await result).toMatchObject({ status: 'completed', value: { cents: 105 } });
  });

  it('of a Python program waits as well', async () => {
    const code = `from servers.bank import pay
from servers.runtime import ToolError
try:
    pay(cents=106)
except ToolError as error:
    result = [error.code, str(error)]`;
    const { result, approvals } = start(code, { language: 'python' });
    const [approval] = await approvals(1);
    await ann.decideApproval(String(approval?.approvalId), { approved: false, by: 'bob' });
    expect(await result).toMatchObject({ status: 'completed', value: ['rejected', expect.stringContaining('bob')] });
  });

  it('waits beside others, each for a decision of its own', async () => {
    const code = `import { pay, balance } from 'servers/bank';
const all = await Promise.allSettled([pay({ cents: 107 }), balance({ cents: 108 }), pay({ cents: 109 })]);
return all.map(({ status }) => status);`;
    const { result, approvals } = start(code);
    const asked = await approvals(2);
    const idOf = (cents: number) =>
      String(asked.find((each) => (each.arguments as { cents: number }).cents === cents)?.approvalId);
    await ann.decideApproval(idOf(109), yes);
    expect((await ann.listApprovals()).map(({ approvalId }) => approvalId)).toEqual([idOf(107)]);
    await ann.decideApproval(idOf(107), { approved: false, by: 'bob' });
    expect((await result).value).toEqual(['rejected', 'fulfilled', 'fulfilled']);
  });

  it('waits no longer when its program is cancelled, or gives it up', async () => {
    const before = await sent('pay');
    const leaving = new AbortController();
    const killed = start(paying(110), { signal: leaving.signal });
    const [first] = await killed.approvals(1);
    leaving.abort();
    expect((await killed.result).status).toBe('killed');

    const code = `import { pay } from 'servers/bank';
import { existsSync } from 'node:fs';
const leaving = new AbortController();
const failing = pay({ cents: 111 }, { signal: leaving.signal }).catch(({ name }) => name);
while (!existsSync('go-on')) await new Promise((resolve) => setTimeout(resolve, 10));
leaving.abort(new DOMException('It took too long', 'TimeoutError'));
return await failing;`;
    const impatient = start(code);
    const [second] = await impatient.approvals(1);
    await ann.files.write('go-on', '');
    expect((await impatient.result).value).toBe('TimeoutError');

    for (const approval of [first, second]) {
      const deciding = ann.decideApproval(String(approval?.approvalId), yes);
      await expect(deciding).rejects.toMatchObject({ code: 'invalid_state' });
    }
    expect(await ann.listApprovals()).toEqual([]);
    expect(await sent('pay')).toBe(before);
  });

  it('is of one customer: another one knows nothing of it', async () => {
    const { result, approvals } = start(paying(112));
    const [approval] = await approvals(1);
    const id = String(approval?.approvalId);
    const eve = cell.workcell.customer('eve');
    await expect(eve.decideApproval(id, yes)).rejects.toMatchObject({ code: 'not_found' });
    expect(await eve.listApprovals()).toEqual([]);
    await ann.decideApproval(id, { approved: false, by: 'bob' });
    await result;
  });
});
