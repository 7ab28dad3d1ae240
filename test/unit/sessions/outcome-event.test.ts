import { describe, expect, test } from 'vitest';
import { WorkcellError } from '../../../src/core/errors.ts';
import type { ExecutionResult } from '../../../src/core/execution.ts';
import { parseCustomerId, parseExecutionId, parseSessionId } from '../../../src/core/ids.ts';
import { stampEvent } from '../../../src/sessions/events.ts';
import { finishedEvent, interruptedEvent, killedEvent } from '../../../src/sessions/outcome-event.ts';

const executionId = parseExecutionId('e1');

describe('finishedEvent()', () => {
  test('keeps the outcome of a result, and not what other events tell', () => {
    const outcome = {
      executionId,
      status: 'failed',
      value: null,
      error: { name: 'TypeError', message: 'broken', stack: 'at 1:1', line: 1 },
      limit: null,
      exitCode: 1,
      output: { stdoutBytes: 1, stderrBytes: 2, truncated: true },
      sandbox: { id: 'sb', driver: 'qemu', isolation: 'emulated', boot: 'cold' },
      timing: { selectMs: 1, generateMs: 2, acquireMs: 3, runMs: 4, totalMs: 10 },
    } as const;
    const result: ExecutionResult = {
      ...outcome,
      customer: parseCustomerId('acme'),
      sessionId: parseSessionId('s1'),
      stdout: 'o',
      stderr: 'ee',
      selection: { mode: 'none', considered: 0, tools: [], noMatch: null },
      planner: 'none',
      language: 'python',
      warnings: [],
      program: '',
      calls: [],
    };
    expect(finishedEvent(result)).toEqual({ type: 'execution.finished', ...outcome });
  });
});

describe('interruptedEvent()', () => {
  test('tells the code and the message of an own error', () => {
    const event = interruptedEvent(executionId, new WorkcellError('sandbox_lost', 'The sandbox died'));
    expect(event).toMatchObject({
      executionId: 'e1',
      status: 'interrupted',
      error: { message: 'The sandbox died', fields: { code: 'sandbox_lost' } },
    });
    expect(() => stampEvent(event, 1, new Date(), [])).not.toThrow();
  });

  test.each([new Error("ENOENT: no such file or directory, open '/srv/acme/secret'"), '/srv/acme/secret', undefined])(
    'tells nothing of a foreign error: %s',
    (error) => {
      const event = interruptedEvent(executionId, error);
      expect(JSON.stringify(event)).not.toContain('/srv');
      expect(event.error?.fields).toEqual({ code: 'internal' });
    },
  );
});

describe('killedEvent()', () => {
  test('counts what is known to have been written, as the end of one that was cut off does', () => {
    const written = { stdout: 'häl', stderr: '€' };
    for (const event of [killedEvent(executionId, written), interruptedEvent(executionId, undefined, written)]) {
      expect(event.output).toEqual({ stdoutBytes: 4, stderrBytes: 3, truncated: false });
      expect(() => stampEvent(event, 1, new Date(), [])).not.toThrow();
    }
    expect(killedEvent(executionId, written)).toMatchObject({ status: 'killed', error: { name: 'AbortError' } });
  });
});
