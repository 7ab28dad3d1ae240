import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { executionOfApproval } from '../../src/core/approval.ts';
import { type ErrorCode, isWorkcellError } from '../../src/core/errors.ts';
import { parseCustomerId, type SessionId } from '../../src/core/ids.ts';
import { readHistory } from '../../src/sessions/execution-history.ts';
import { readSessionView } from '../../src/sessions/read-session-view.ts';
import { recallSession } from '../../src/sessions/recall-session.ts';
import { SessionStore } from '../../src/sessions/session-store.ts';
import { tarEnd, tarFile } from '../../src/util/tar-writer.ts';
import { type ImportPlace, importSession } from '../../src/workcell/import-session.ts';
import { WorkspaceStore } from '../../src/workspaces/workspace-store.ts';
import type { Random } from '../unit/random.ts';
import { SAMPLE_EVENTS } from '../unit/sessions/sample-events.ts';
import { mutateBytes, mutateJson } from './mutate.ts';

const CUSTOMER = parseCustomerId('acme');
const AT = '2026-01-01T00:00:00.000Z';
const NOW = new Date(0);
const HEAD = {
  format: 'workcell-session',
  version: 1,
  customer: CUSTOMER,
  session: 's1',
  exportedAt: AT,
  workspace: true,
};
const TREE = Buffer.concat([
  tarFile('files/state/rows.json', '[1]', NOW),
  tarFile('skills/add/SKILL.md', 'adds', NOW),
  tarEnd(),
]);
const REFUSALS: readonly ErrorCode[] = ['invalid_argument', 'already_exists', 'storage_full', 'invalid_state'];

/** A log that could be: one execution that is over, and one that waits to be approved. */
const EVENTS = logOf('e2', 'e1');

/** An archive from anybody is refused and leaves nothing, or becomes a session that can be read in every way. */
export async function openArchiveTarget(folder: string): Promise<(random: Random) => Promise<void>> {
  const workspace = await new WorkspaceStore({ root: folder }).open(CUSTOMER);
  const { sessionsPath } = workspace;
  const sessions = new SessionStore({ customer: CUSTOMER, sessionsPath });
  const limits = { bytes: 1024 * 1024, entries: 100 };
  const place: ImportPlace = { sessions, workspace, limits, admit: async () => {} };
  const whole = archiveOf(HEAD, EVENTS, TREE);
  return async (random) => {
    const archive = random.next() < 0.2 ? mutateBytes(whole, random) : mutateArchive(random);
    try {
      const { sessionId } = await importSession(inPieces(archive, random), place, { overwrite: true });
      await readImported(sessions, sessionId);
      await sessions.remove(sessionId);
    } catch (error) {
      if (!isWorkcellError(error) || !REFUSALS.includes(error.code)) throw error;
    }
    const left = (await readdir(sessionsPath)).filter((name) => /import|jsonl|lock/.test(name));
    if (left.length > 0) throw new Error(`There is still ${left.join(', ')}`);
  };
}

async function readImported(sessions: SessionStore, sessionId: SessionId): Promise<void> {
  const reader = await sessions.findReader(sessionId);
  if (reader === undefined) throw new Error('There is no session');
  await readSessionView(reader, { customer: CUSTOMER, page: { limit: 100 } });
  await recallSession(reader);
  for (const executionId of reader.executions({ limit: 100 }).executions) {
    const owner = { customer: CUSTOMER, sessionId, executionId };
    const { approvals } = await readHistory(owner, sessions.readExecution(executionId));
    for (const { approvalId } of approvals)
      if (executionOfApproval(approvalId) !== executionId) throw new Error('It waits for what is not its own');
  }
}

/** One of its parts is another, and its sums are right. */
function mutateArchive(random: Random): Uint8Array {
  switch (random.integer(0, 5)) {
    case 0:
      return archiveOf(mutateJson(HEAD, random), EVENTS, TREE);
    case 1:
      return archiveOf(HEAD, EVENTS, mutateBytes(TREE, random));
    case 2:
      return archiveOf(HEAD, EVENTS, TREE, (sums) => mutateJson(sums, random));
    case 3:
      return archiveOf(HEAD, numbered(shuffled(random)), TREE);
    default: {
      const at = random.integer(0, EVENTS.length - 1);
      return archiveOf(HEAD, EVENTS.with(at, mutateJson(EVENTS[at], random)), TREE);
    }
  }
}

/** An event is missing, there twice, or elsewhere. */
function shuffled(random: Random): readonly unknown[] {
  const [at, to] = [random.integer(0, EVENTS.length - 1), random.integer(0, EVENTS.length - 1)];
  const rest = EVENTS.toSpliced(at, random.integer(0, 1));
  return random.next() < 0.3 ? rest : rest.toSpliced(to, 0, EVENTS[at]);
}

function numbered(events: readonly unknown[]): readonly unknown[] {
  return events.map((event, index) => ({ ...(event as object), seq: index + 1 }));
}

function logOf(...executions: readonly string[]): readonly unknown[] {
  const [created, ...rest] = SAMPLE_EVENTS;
  const called = { type: 'tool.called', call: 1, server: 'bank', tool: 'pay', arguments: { cents: 100 } };
  const events: unknown[] = [created];
  for (const [index, executionId] of executions.entries()) {
    const own = rest.filter((event) => 'executionId' in event && event.executionId === 'e1');
    const shown = index === 0 ? own : own.filter(({ type }) => !/decided|resumed|finished|returned/.test(type));
    for (const event of shown) {
      const approval = 'approvalId' in event ? { approvalId: `apr_${executionId}_1` } : {};
      if ('call' in event) events.push({ ...called, executionId, call: event.call });
      events.push({ ...event, executionId, ...approval });
    }
  }
  const outside = rest.filter((event) => !('executionId' in event));
  return numbered([...events, ...outside].map((event) => ({ v: 1, at: AT, ...(event as object) })));
}

function archiveOf(
  head: unknown,
  events: readonly unknown[],
  tree: Uint8Array,
  change: (sums: object) => unknown = (sums) => sums,
): Buffer {
  const log = Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  const sums = { events: events.length, log: sumOf(log), workspace: sumOf(tree) };
  return Buffer.concat([
    tarFile('session.json', textOf(head), NOW),
    tarFile('log/000001', log.subarray(0, 1000), NOW),
    tarFile('log/000002', log.subarray(1000), NOW),
    tarFile('workspace/000001', tree, NOW),
    tarFile('checksums.json', textOf(change(sums)), NOW),
    tarEnd(),
  ]);
}

function textOf(value: unknown): string {
  return JSON.stringify(value) ?? '';
}

function sumOf(bytes: Uint8Array): object {
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

async function* inPieces(bytes: Uint8Array, random: Random): AsyncGenerator<Uint8Array> {
  for (let at = 0, end = 0; at < bytes.length; at = end) {
    end = at + random.integer(1, bytes.length);
    yield bytes.subarray(at, end);
  }
}
