// Calls at the gate, on real session files and a real folder of approvals; what would be a program only makes its calls.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CheckedCall } from '../../../src/broker/broker.ts';
import { parseCustomerId, parseExecutionId, parseSessionId } from '../../../src/core/ids.ts';
import { ApprovalFolder } from '../../../src/sessions/approval-folder.ts';
import { FIELD_LIMITS } from '../../../src/sessions/bound-event.ts';
import { decidedEvent, ExecutionApprovals } from '../../../src/sessions/execution-approvals.ts';
import type { SessionLog } from '../../../src/sessions/session-log.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { ApprovalGate, type ApprovalGateOptions } from '../../../src/workcell/approval-gate.ts';
import { eventually } from '../../support/processes.ts';
import { recordStart } from '../../support/record-execution.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

const [customer, executionId, sessionId] = [parseCustomerId('ann'), parseExecutionId('job'), parseSessionId('s')];
const [yes, no] = [
  { approved: true, by: 'ann' },
  { approved: false, by: 'bob' },
];
const never = new AbortController().signal;

let temp: TempFolder;
let folder: ApprovalFolder;
let session: SessionLog;
/** While it is pending, a decision is on its way to the disk. */
let disk: Promise<void>;

beforeEach(async () => {
  temp = await tempFolder();
  folder = new ApprovalFolder({ customer, path: join(temp.path, 'approvals'), keys: { current: undefined, old: [] } });
  session = await new SessionStore({ customer, sessionsPath: temp.path }).create(sessionId);
  await recordStart(session, executionId);
  disk = Promise.resolve();
});

afterEach(async () => {
  await session.close();
  await temp[Symbol.asyncDispose]();
});

async function openGate(more: Partial<ApprovalGateOptions> = {}): Promise<ApprovalGate> {
  const asked = new ExecutionApprovals();
  for await (const event of session.read()) asked.push(event);
  const gate = new ApprovalGate({
    executionId,
    sessionId,
    config: { mcpServers: { bank: { requireApproval: 'always' } }, approvals: { holdMs: 60_000, expireMs: 60_000 } },
    folder,
    asked: asked.all,
    log: {
      approvalRequested: async (approval) => {
        const { sessionId: _, ...request } = approval;
        const { at } = await session.append({ type: 'approval.requested', ...request });
        return { ...approval, requestedAt: at };
      },
      approvalDecided: async (approval, decision) => {
        await disk;
        await session.append(decidedEvent(approval, decision));
      },
    },
    onWaiting: () => {},
    onClosed: () => {},
    ...more,
  } as ApprovalGateOptions);
  gate.attach(() => 1);
  return gate;
}

const callOf = (seq: number, args: Record<string, unknown> = { cents: seq }): CheckedCall => ({
  seq,
  server: 'bank',
  tool: 'pay',
  arguments: args,
});

const decisions = async () =>
  (await Array.fromAsync(session.read())).flatMap((event) => (event.type === 'approval.decided' ? [event] : []));
const files = () => readdir(join(temp.path, 'approvals')).catch(() => []);
const isWaiting = (gate: ApprovalGate) => eventually(() => gate.open.length === 1);

test('a call that is being decided is not parked: the decision holds', async () => {
  const gate = await openGate();
  const passing = gate.pass(callOf(1), never);
  await isWaiting(gate);
  const { open } = gate;
  const written = Promise.withResolvers<void>();
  disk = written.promise;
  const deciding = gate.decide('apr_job_1', yes);
  gate.park(open);
  written.resolve();
  expect(await deciding).toEqual(yes);
  expect(await passing).toBeUndefined();
  expect(gate.parked.aborted).toBe(false);
  expect(await files()).toEqual([]);
});

test('a call that was parked is not decided here, and stays open', async () => {
  const gate = await openGate();
  const ended = new AbortController();
  const passing = gate.pass(callOf(1), ended.signal);
  await isWaiting(gate);
  gate.park(gate.open);
  expect(await gate.decide('apr_job_1', yes)).toBeUndefined();
  ended.abort();
  expect(await passing).toMatchObject({ code: 'cancelled' });
  expect(() => gate.assertNoneLeft()).toThrow('paused until it is decided whether it may call bank.pay (apr_job_1)');
  expect(await files()).toEqual(['apr_job_1.open']);
  expect(await decisions()).toEqual([]);
});

test('once programs are kept no longer, one that asks later is not kept either', async () => {
  const gate = await openGate();
  gate.endHold();
  void gate.pass(callOf(1), never);
  await eventually(() => gate.parked.aborted);
});

describe('a program that runs again', () => {
  /** Its last run has ended where this call waited. */
  beforeEach(async () => {
    const before = await openGate();
    const ended = new AbortController();
    const passing = before.pass(callOf(1), ended.signal);
    await isWaiting(before);
    before.park(before.open);
    ended.abort();
    await passing;
  });

  test('has one decision of many on a call that it has not come to, which is the answer when it comes', async () => {
    const gate = await openGate();
    const told = await Promise.all([no, yes, no].map((decision) => gate.decide('apr_job_1', decision)));
    expect(told).toEqual([no, no, no]);
    expect(await decisions()).toMatchObject([no]);
    expect(await gate.pass(callOf(1), never)).toMatchObject({ code: 'rejected', details: { by: 'bob' } });
  });

  test('gets the decision that is made while it comes to the call, and leaves nothing in the folder', async () => {
    const gate = await openGate();
    const written = Promise.withResolvers<void>();
    disk = written.promise;
    const deciding = gate.decide('apr_job_1', yes);
    const passing = gate.pass(callOf(1), never);
    written.resolve();
    expect(await deciding).toEqual(yes);
    expect(await passing).toBeUndefined();
    expect(await files()).toEqual([]);
    expect(await decisions()).toHaveLength(1);
  });

  test('may make the call once, and only with the arguments that were approved', async () => {
    const gate = await openGate();
    await gate.decide('apr_job_1', yes);
    const other = gate.pass(callOf(1, { cents: 1_000 }), never);
    await isWaiting(gate);
    expect(gate.open).toMatchObject([{ approvalId: 'apr_job_2', arguments: { cents: 1_000 } }]);
    await gate.decide('apr_job_2', no);
    expect(await other).toMatchObject({ code: 'rejected' });
    expect(await gate.pass(callOf(1), never)).toBeUndefined();
    const again = gate.pass(callOf(1), never);
    await eventually(() => gate.open.length === 1);
    expect(gate.open).toMatchObject([{ approvalId: 'apr_job_3' }]);
    await gate.decide('apr_job_3', no);
    expect(await again).toMatchObject({ code: 'rejected' });
  });
});

test('nobody is asked about a call whose arguments cannot be shown whole', async () => {
  const { arguments: limit = 0 } = FIELD_LIMITS;
  const gate = await openGate();
  const of = (bytes: number) => ({ text: 'x'.repeat(bytes - '{"text":""}'.length) });
  const refused = await gate.pass(callOf(1, of(limit + 1)), never);
  expect(refused).toMatchObject({ code: 'arguments_too_large', details: { bytes: limit + 1, limit } });
  expect(await files()).toEqual([]);
  const asked = gate.pass(callOf(1, of(limit)), never);
  await isWaiting(gate);
  expect(gate.open).toMatchObject([{ approvalId: 'apr_job_1', arguments: of(limit) }]);
  await gate.decide('apr_job_1', yes);
  expect(await asked).toBeUndefined();
});
