import { describe, expect, test } from 'vitest';
import { parseExecutionId, parseSessionId } from '../../../src/core/ids.ts';
import type { StoredEvent } from '../../../src/sessions/events.ts';
import { stampEvent } from '../../../src/sessions/events.ts';
import type { ExecuteRequest } from '../../../src/workcell/execute-request.ts';
import { askedFor, assertSameRequest, recordedAsk } from '../../../src/workcell/same-request.ts';

const place = { id: parseExecutionId('e1'), sessionId: parseSessionId('s1') };
const request: ExecuteRequest = { code: 'return 1', task: 'One', tools: ['a.b', 'c.d'], session: 's1' };

function differs(other: ExecuteRequest, first: ExecuteRequest = request): string | undefined {
  try {
    assertSameRequest(place, other, askedFor(first));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

describe('assertSameRequest()', () => {
  test.each([
    ['the same', request],
    ['tools in another order', { ...request, tools: ['c.d', 'a.b'] }],
    ['no session', { code: 'return 1', task: 'One', tools: ['a.b', 'c.d'] }],
    ['the language that is the default', { ...request, language: 'typescript' }],
    ['another timeout', { ...request, timeoutMs: 1 }],
  ] as const)('takes %s for the same', (_name, other) => {
    expect(differs(other)).toBeUndefined();
  });

  test.each([
    ['code', { ...request, code: 'return 2' }],
    ['task', { ...request, task: 'Two' }],
    ['task', { code: 'return 1', tools: ['a.b', 'c.d'] }],
    ['tools', { ...request, tools: ['a.b'] }],
    ['tools', { code: 'return 1', task: 'One' }],
    ['language', { ...request, language: 'python' }],
    ['session', { ...request, session: 's2' }],
  ] as const)('refuses other %s, and names it', (name, other) => {
    expect(differs(other)).toBe(
      `The execution "e1" was started with other ${name}; use another id, or send the same request again`,
    );
  });

  test('a task alone is TypeScript, whatever is said', () => {
    expect(differs({ task: 'One', language: 'python' }, { task: 'One' })).toBeUndefined();
  });
});

describe('recordedAsk()', () => {
  const started = (code: string, truncated: readonly string[]) =>
    stampEvent(
      {
        type: 'execution.started',
        executionId: 'e1',
        task: null,
        language: 'typescript',
        program: code,
        selection: { mode: 'none', considered: 0, tools: [], noMatch: null },
        planner: 'none',
        request: { code, tools: null, timeoutMs: null, typeCheck: false },
      },
      1,
      new Date(),
      truncated,
    ) as Extract<StoredEvent, { type: 'execution.started' }>;

  test('compares with what a log keeps of a long program', () => {
    const kept = recordedAsk(started('return', ['request.code']));
    expect(() => assertSameRequest(place, { code: 'return 1' }, kept)).not.toThrow();
    expect(() => assertSameRequest(place, { code: 'throw 1' }, kept)).toThrow(/other code/);
    expect(() => assertSameRequest(place, { code: 'return 1' }, recordedAsk(started('return', [])))).toThrow(/code/);
  });

  test('refuses when the log does not tell what was asked for', () => {
    const { request: _, ...older } = started('return 1', []);
    expect(() => assertSameRequest(place, { code: 'return 1' }, recordedAsk(older))).toThrow(/does not tell/);
  });
});
