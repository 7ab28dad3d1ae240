import { describe, expect, test } from 'vitest';
import { boundEvent, FIELD_LIMITS } from '../../../src/sessions/bound-event.ts';
import { type SessionEvent, stampEvent } from '../../../src/sessions/events.ts';
import { encodeJsonLine } from '../../../src/util/json-lines.ts';
import { SAMPLE_EVENTS } from './sample-events.ts';

const limitOf = (name: string): number => FIELD_LIMITS[name] ?? Number.NaN;
const output = (text: string): SessionEvent => ({ type: 'output', executionId: 'e', stream: 'stdout', text });
const returned = (value: unknown): SessionEvent => ({
  type: 'tool.returned',
  executionId: 'e',
  call: 1,
  ok: true,
  ms: 1,
  value,
});

describe('boundEvent()', () => {
  test.each(SAMPLE_EVENTS)('leaves a small $type as it is', (event) => {
    expect(boundEvent(event)).toEqual({ event, truncated: [] });
  });

  test('keeps a text of the largest size and cuts one byte more', () => {
    const longest = 'x'.repeat(limitOf('text'));
    expect(boundEvent(output(longest))).toEqual({ event: output(longest), truncated: [] });
    expect(boundEvent(output(`${longest}y`))).toEqual({ event: output(longest), truncated: ['text'] });
  });

  test.each(['é', '€', '🦀'])('cuts between whole characters: %s', (character) => {
    const limit = limitOf('text');
    for (const shift of [0, 1, 2, 3]) {
      const { event } = boundEvent(output('x'.repeat(shift) + character.repeat(limit)));
      const { text } = event as { readonly text: string };
      expect(text).not.toContain('\ufffd');
      const size = Buffer.byteLength(text);
      expect(size).toBeLessThanOrEqual(limit);
      expect(size).toBeGreaterThan(limit - Buffer.byteLength(character));
    }
  });

  test('keeps a value whose JSON has the largest size, and drops one byte more', () => {
    const limit = limitOf('value');
    const largest = ['x'.repeat(limit - 4)];
    expect(boundEvent(returned(largest))).toEqual({ event: returned(largest), truncated: [] });
    expect(boundEvent(returned([`${largest[0]}x`]))).toEqual({ event: returned(null), truncated: ['value'] });
  });

  test('cuts the parts of an error one by one', () => {
    const [event] = SAMPLE_EVENTS.filter((sample) => sample.type === 'execution.finished');
    const long = {
      name: 'Error',
      message: 'm'.repeat(limitOf('error.message') + 1),
      stack: 's'.repeat(limitOf('error.stack') + 1),
      fields: { big: 'f'.repeat(limitOf('error.fields')) },
    };
    const bounded = boundEvent({ ...event, error: long } as SessionEvent);
    expect(bounded.truncated).toEqual(['error.message', 'error.stack', 'error.fields']);
    const { error } = bounded.event as {
      readonly error: Record<'name' | 'message' | 'stack' | 'fields', string | null>;
    };
    expect(error).toMatchObject({ name: 'Error', fields: null });
    expect(error.message?.length).toBe(limitOf('error.message'));
    expect(error.stack?.length).toBe(limitOf('error.stack'));
  });

  test('cuts the code that was asked for, and nothing else of the request', () => {
    const code = 'x'.repeat(limitOf('request.code'));
    const started = (asked: string): SessionEvent => ({
      type: 'execution.started',
      executionId: 'e',
      task: null,
      language: 'typescript',
      program: '',
      selection: { mode: 'none', considered: 0, tools: [], noMatch: null },
      planner: 'none',
      request: { code: asked, tools: ['a.b'], timeoutMs: 1, typeCheck: true },
    });
    expect(boundEvent(started(code))).toEqual({ event: started(code), truncated: [] });
    expect(boundEvent(started(`${code}y`))).toEqual({ event: started(code), truncated: ['request.code'] });
  });

  test('refuses a value that is not JSON', () => {
    const circle: unknown[] = [];
    circle.push(circle);
    for (const value of [circle, { n: 1n }]) {
      expect(() => boundEvent(returned(value))).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
    }
  });

  test('keeps every event within one line, whatever its fields hold', () => {
    // A control character takes the most room of all in JSON.
    const huge = '\0'.repeat(4 * 1024 * 1024);
    const error = { name: 'E', message: huge, stack: huge, fields: { huge } };
    for (const sample of SAMPLE_EVENTS) {
      const { event, truncated } = boundEvent(inflate(sample, { huge, error }));
      expect(() => encodeJsonLine(stampEvent(event, 1, new Date(), truncated))).not.toThrow();
    }
  });
});

function inflate(event: SessionEvent, big: { readonly huge: string; readonly error: object }): SessionEvent {
  const fields = Object.entries(event).map(([name, value]) => {
    if (name === 'error' && value !== null && event.type === 'execution.finished') return [name, big.error];
    return [name, name in FIELD_LIMITS ? big.huge : value];
  });
  return Object.fromEntries(fields) as SessionEvent;
}
