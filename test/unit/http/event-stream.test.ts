import { describe, expect, it } from 'vitest';
import type { HistoryEvent } from '../../../src/core/execution.ts';
import { eventStream } from '../../../src/http/event-stream.ts';

const event = (seq: number): HistoryEvent => ({ seq, at: '2026-01-01T00:00:00Z', type: 'stdout', text: `${seq}\n` });

describe('a stream of events', () => {
  it('fills silence with lines that are no events, and tells every event once', async () => {
    const more = Promise.withResolvers<void>();
    async function* events() {
      yield event(1);
      await more.promise;
      yield event(2);
    }
    let text = '';
    for await (const chunk of eventStream({ events: events(), type: 'application/x-ndjson', beatMs: 1 })) {
      text += String(chunk);
      if (/\n\n\n$/.test(text)) more.resolve();
    }
    expect(text).toMatch(/^[^\n]+\n\n\n+[^\n]+\n\n*$/);
    const lines = text.split('\n').filter((line) => line !== '');
    expect(lines.map((line) => (JSON.parse(line) as HistoryEvent).seq)).toEqual([1, 2]);
  });

  it('breaks off where the events do', async () => {
    async function* events() {
      yield event(1);
      throw new Error('the disk is gone');
    }
    const stream = eventStream({ events: events(), type: 'text/event-stream' });
    await expect(stream.toArray()).rejects.toThrow('the disk is gone');
  });

  it('takes no more events than its reader wants', async () => {
    let taken = 0;
    async function* events() {
      for (;;) {
        taken += 1;
        yield { ...event(taken), type: 'stdout' as const, text: 'x'.repeat(10_000) };
      }
    }
    const stream = eventStream({ events: events(), type: 'application/x-ndjson' });
    for await (const _chunk of stream) break;
    expect(taken).toBeLessThan(20);
  });
});
