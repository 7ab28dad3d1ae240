import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FailureMemory } from '../../../src/workcell/failure-memory.ts';
import { doubleServer } from '../../support/mcp-servers.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
let now: number;

beforeEach(async () => {
  folder = await tempFolder();
  now = 1_000_000;
});

afterEach(() => folder[Symbol.asyncDispose]());

const open = (timeoutMs = 1): FailureMemory => {
  const common = { perCustomer: false, quarantine: false, requireApproval: 'never' as const, idempotencyKey: false };
  const policy = { allowedTools: undefined, excludeTools: undefined, ...common };
  const server = { ...doubleServer({}, { timeoutMs }), ...policy };
  return new FailureMemory({ path: join(folder.path, 'failures.json'), servers: { a: server }, now: () => now });
};
const fail = (memory: FailureMemory) => memory.note([{ server: 'a', problem: 'it is down' }]);

describe('FailureMemory', () => {
  it('leaves a server alone for 30 seconds, then twice as long with each failure, up to an hour', async () => {
    const pauses: (number | undefined)[] = [];
    for (let i = 0; i < 9; i++) {
      await fail(open());
      pauses.push((await open().find('a'))?.retryInMs);
    }
    expect(pauses.map((ms) => (ms ?? 0) / 1000)).toEqual([30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
  });

  it('lets it be tried when the time is over, not before', async () => {
    await fail(open());
    now += 29_999;
    expect(await open().find('a')).toEqual({ problem: 'it is down', retryInMs: 1 });
    now += 1;
    expect(await open().find('a')).toBeUndefined();
  });

  it('forgets with a success, with another configuration, and when the clock was set back', async () => {
    await fail(open());
    expect(await open(2).find('a')).toBeUndefined();
    now -= 60_000;
    expect(await open().find('a')).toBeUndefined();
    now += 60_000;
    await open().note([{ server: 'a', problem: undefined }]);
    expect(await open().find('a')).toBeUndefined();
  });

  it('knows nothing from a file that is damaged', async () => {
    await writeFile(join(folder.path, 'failures.json'), '{"a":');
    expect(await open().find('a')).toBeUndefined();
  });
});
