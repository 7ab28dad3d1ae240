import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { untilAborted } from '../../../src/util/until-aborted.ts';

const never = new Promise<void>(() => {});

describe('untilAborted()', () => {
  test('resolves with the work, and rejects as it does, without a listener left', async () => {
    const { signal } = new AbortController();
    await untilAborted(Promise.resolve(1), undefined);
    await untilAborted(Promise.resolve(1), signal);
    await expect(untilAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no');
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  test('resolves when the signal aborts, before or meanwhile', async () => {
    const controller = new AbortController();
    const waiting = untilAborted(never, controller.signal);
    controller.abort();
    await waiting;
    await untilAborted(never, controller.signal);
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });
});
