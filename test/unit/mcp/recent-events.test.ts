import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import { describe, expect, it } from 'vitest';
import { RecentEvents } from '../../../src/mcp/recent-events.ts';

/** The event that begins a stream. */
const EMPTY = {} as JSONRPCMessage;

function message(id: number, text = ''): JSONRPCMessage {
  return { jsonrpc: '2.0', id, result: { text } };
}

async function replayed(events: RecentEvents, after: string): Promise<{ stream: string; sent: unknown[] }> {
  const sent: unknown[] = [];
  const stream = await events.replayEventsAfter(after, {
    send: async (id, message) => void sent.push([id, 'id' in message && message.id]),
  });
  return { stream, sent };
}

describe('what a session was sent lately', () => {
  it('is given again after an event, of its stream alone', async () => {
    const events = new RecentEvents();
    const first = await events.storeEvent('a', EMPTY);
    await events.storeEvent('b', message(1));
    const second = await events.storeEvent('a', message(2));
    const third = await events.storeEvent('a', message(3));
    expect(await replayed(events, first)).toEqual({
      stream: 'a',
      sent: [
        [second, 2],
        [third, 3],
      ],
    });
    expect(await replayed(events, third)).toEqual({ stream: 'a', sent: [] });
    await expect(replayed(events, '99')).rejects.toThrow('not known any more');
  });

  it('is forgotten, the oldest first, when it is too much', async () => {
    const events = new RecentEvents();
    const first = await events.storeEvent('a', EMPTY);
    const second = await events.storeEvent('a', message(1, 'x'.repeat(200_000)));
    expect((await replayed(events, first)).sent).toHaveLength(1);
    const third = await events.storeEvent('a', message(2, 'x'.repeat(100_000)));
    await expect(replayed(events, first)).rejects.toThrow();
    await expect(replayed(events, second)).rejects.toThrow();
    expect((await replayed(events, third)).sent).toEqual([]);
  });

  it('is at most 1,000 events', async () => {
    const events = new RecentEvents();
    const first = await events.storeEvent('a', EMPTY);
    for (let count = 1; count < 1_000; count++) await events.storeEvent('a', message(count));
    expect((await replayed(events, first)).sent).toHaveLength(999);
    await events.storeEvent('a', message(1_000));
    await expect(replayed(events, first)).rejects.toThrow();
  });
});
