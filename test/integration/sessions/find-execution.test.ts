import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { newExecutionId, parseCustomerId, parseSessionId } from '../../../src/core/ids.ts';
import { locateExecution } from '../../../src/sessions/find-execution.ts';
import { SessionStore } from '../../../src/sessions/session-store.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
let store: SessionStore;

beforeEach(async () => {
  folder = await tempFolder();
  store = new SessionStore({ customer: parseCustomerId('ann'), sessionsPath: folder.path });
});

afterEach(() => folder[Symbol.asyncDispose]());

const selection = { mode: 'none', considered: 0, tools: [], noMatch: null } as const;

async function record(session: string, executionId: string, program: string, finished = true): Promise<void> {
  await using log = await store.openOrCreate(parseSessionId(session));
  const start = { executionId, task: null, program, selection, planner: 'none', language: 'typescript' } as const;
  await log.append({ type: 'execution.started', ...start });
  await log.append({ type: 'tool.called', executionId, call: 1, server: 'memory', tool: 'read', arguments: {} });
  await log.append({ type: 'tool.returned', executionId, call: 1, ok: true, ms: 1 });
  await log.append({ type: 'tool.called', executionId, call: 2, server: 'memory', tool: 'none', arguments: {} });
  const error = { code: 'not_in_scope', message: 'no' };
  await log.append({ type: 'tool.returned', executionId, call: 2, ok: false, ms: 1, error });
  await log.append({ type: 'tool.called', executionId, call: 3, server: 'memory', tool: 'open', arguments: {} });
  if (!finished) return;
  const end = {
    status: 'completed',
    value: 1,
    error: null,
    limit: null,
    exitCode: null,
    sandbox: null,
    timing: null,
  } as const;
  const output = { stdoutBytes: 0, stderrBytes: 0, truncated: false };
  await log.append({ type: 'execution.finished', executionId, ...end, output });
}

test('an execution is found in whichever session it is, also when it was cut off', async () => {
  const [first, second, third] = [newExecutionId(), newExecutionId(), newExecutionId()];
  await record('one', first, 'return 1');
  await record('two', second, 'return 2');
  await record('two', third, 'return 3', false);
  const places = await Promise.all([first, second, third, newExecutionId()].map((id) => locateExecution(store, id)));
  expect(places.map(({ session }) => session)).toEqual(['one', 'two', 'two', undefined]);
});

test('a session that cannot be read hides only what is in it, and is named when nothing is found', async () => {
  const id = newExecutionId();
  await record('one', id, 'return 1');
  await writeFile(join(folder.path, 'torn.jsonl'), 'not JSON\n');
  expect(await locateExecution(store, id)).toMatchObject({ session: 'one' });
  expect(await locateExecution(store, newExecutionId())).toEqual({ session: undefined, unreadable: ['torn'] });
});
