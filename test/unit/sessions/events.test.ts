import { describe, expect, test } from 'vitest';
import { decodeEvent, type SessionEvent, stampEvent } from '../../../src/sessions/events.ts';
import { SAMPLE_EVENTS } from './sample-events.ts';

const AT = new Date('2026-01-02T03:04:05.678Z');
const fromDisk = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('stampEvent() and decodeEvent()', () => {
  test.each(SAMPLE_EVENTS)('keep every field of $type', (event) => {
    const stored = stampEvent(event, 7, AT, []);
    expect(stored).toEqual({ v: 1, seq: 7, at: '2026-01-02T03:04:05.678Z', ...event });
    expect(decodeEvent(fromDisk(stored), 'Line 7')).toEqual({ kind: 'event', seq: 7, event: stored });
  });

  test('keep the marks of what was cut', () => {
    const stored = stampEvent({ type: 'output', executionId: 'e', stream: 'stdout', text: 'a' }, 1, AT, ['text']);
    expect(stored.truncated).toEqual(['text']);
    expect(decodeEvent(fromDisk(stored), '')).toMatchObject({ event: { truncated: ['text'] } });
  });

  test.each([undefined, () => 1, Symbol('s')])('keep a value that JSON has no word for readable: %s', (value) => {
    const call: SessionEvent = {
      type: 'tool.called',
      executionId: 'e',
      call: 1,
      server: 's',
      tool: 't',
      arguments: value,
    };
    expect(decodeEvent(fromDisk(stampEvent(call, 1, AT, [])), '')).toMatchObject({ event: { arguments: null } });
  });
});

describe('stampEvent()', () => {
  test.each([
    [
      'a number that JSON has no word for',
      { type: 'tool.returned', executionId: 'e', call: 1, ok: true, ms: Number.NaN },
    ],
    ['a missing field', { type: 'tool.returned', executionId: 'e', call: 1, ok: true }],
    ['a type that does not exist', { type: 'tool.lost' }],
  ])('refuses %s, which could not be read back', (_, event) => {
    expect(() => stampEvent(event as SessionEvent, 1, AT, [])).toThrow(expect.objectContaining({ code: 'internal' }));
  });
});

describe('decodeEvent()', () => {
  const line = { v: 1, seq: 4, at: AT.toISOString(), type: 'output', executionId: 'e', stream: 'stdout', text: '' };

  test.each([
    ['a type of a later version', { ...line, type: 'tool.approved' }],
    ['a later version of a known type', { ...line, v: 2, stream: 'stdin', at: 12 }],
  ])('passes over %s', (_, value) => {
    expect(decodeEvent(value, 'Line 4')).toEqual({ kind: 'unknown', seq: 4 });
  });

  test.each([
    ['no object', 'text', 'Line 4 is not a session event: the line: '],
    ['no sequence number', { ...line, seq: undefined }, 'Line 4 is not a session event: seq: '],
    ['a sequence number of zero', { ...line, seq: 0 }, 'Line 4 is not a session event: seq: '],
    ['no version', { ...line, v: undefined }, 'Line 4 is not a session event: v: '],
    ['no type', { ...line, type: undefined }, 'Line 4 is not a session event: type: '],
    ['a field of the wrong kind', { ...line, text: 7 }, 'Line 4 is not a session event: text: '],
    ['a time that is none', { ...line, at: 'today' }, 'Line 4 is not a session event: at: '],
  ])('refuses a line with %s', (_, value, message) => {
    expect(() => decodeEvent(value, 'Line 4')).toThrow(
      expect.objectContaining({ code: 'storage_failed', message: expect.stringContaining(message) }),
    );
  });
});
