import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { WorkcellError } from '../../../src/core/errors.ts';
import { Deadline, poll } from '../../../src/util/deadline.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe('Deadline', () => {
  test('ends when its time is up, not a millisecond earlier', () => {
    const deadline = new Deadline('Starting sandbox "x"', 5_000);
    vi.advanceTimersByTime(4_999);
    expect(() => deadline.check()).not.toThrow();
    expect(deadline.remainingMs).toBe(1);
    vi.advanceTimersByTime(1);
    expect(() => deadline.check()).toThrow(
      expect.objectContaining({ code: 'deadline_exceeded', message: 'Starting sandbox "x" took longer than 5.0 s' }),
    );
    expect(deadline.remainingMs).toBe(0);
  });

  test.each([2 ** 31 - 1, 2 ** 31, Number.MAX_SAFE_INTEGER])('does not end at once when given %d ms', (timeoutMs) => {
    const deadline = new Deadline('Work', timeoutMs);
    vi.advanceTimersByTime(60_000);
    expect(deadline.signal.aborted).toBe(false);
    deadline[Symbol.dispose]();
  });

  test('ends when the signal of the caller aborts, with its reason as the cause', () => {
    const caller = new AbortController();
    const deadline = new Deadline('Work', 5_000, { signal: caller.signal });
    caller.abort('no longer needed');
    expect(() => deadline.check()).toThrow(
      expect.objectContaining({ code: 'cancelled', message: 'Work was cancelled', cause: 'no longer needed' }),
    );
  });

  test('has ended from the start when the signal of the caller has aborted before', () => {
    const deadline = new Deadline('Work', 5_000, { signal: AbortSignal.abort() });
    expect(() => deadline.check()).toThrow(expect.objectContaining({ code: 'cancelled' }));
  });

  test('a child ends with its parent, for the reason of the parent', () => {
    const parent = new Deadline('Everything', 1_000);
    const child = parent.child('A part', 5_000);
    expect(child.remainingMs).toBe(1_000);
    vi.advanceTimersByTime(1_000);
    expect(child.signal.aborted).toBe(true);
    expect((child.signal.reason as WorkcellError).code).toBe('deadline_exceeded');
  });

  test('a child that ends leaves its parent alone', () => {
    const parent = new Deadline('Everything', 5_000);
    const child = parent.child('A part', 1_000);
    vi.advanceTimersByTime(1_000);
    expect(child.signal.aborted).toBe(true);
    expect(parent.signal.aborted).toBe(false);
    parent[Symbol.dispose]();
  });

  test('does not end while its time stands still, and has then what was left', () => {
    const deadline = new Deadline('Work', 5_000);
    vi.advanceTimersByTime(3_000);
    const resume = deadline.pause();
    vi.advanceTimersByTime(60_000);
    expect(deadline.remainingMs).toBe(2_000);
    resume();
    vi.advanceTimersByTime(1_999);
    expect(deadline.signal.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(deadline.signal.aborted).toBe(true);
  });

  test('of pauses that overlap, stands still until the last is over, and counts the end of one once', () => {
    const deadline = new Deadline('Work', 1_000);
    const [first, second] = [deadline.pause(), deadline.pause()];
    first();
    first();
    vi.advanceTimersByTime(5_000);
    expect(deadline.remainingMs).toBe(1_000);
    second();
    vi.advanceTimersByTime(1_000);
    expect(deadline.signal.aborted).toBe(true);
  });

  test('ends during a pause when the caller leaves, and leaves no timer behind when it is disposed during one', () => {
    const caller = new AbortController();
    const deadline = new Deadline('Work', 1_000, { signal: caller.signal });
    const resume = deadline.pause();
    caller.abort();
    expect(deadline.signal.aborted).toBe(true);
    deadline[Symbol.dispose]();
    resume();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('leaves no timer and no listener behind once it is disposed', () => {
    const caller = new AbortController();
    const deadline = new Deadline('Work', 5_000, { signal: caller.signal });
    deadline[Symbol.dispose]();
    expect(vi.getTimerCount()).toBe(0);
    caller.abort();
    expect(deadline.signal.aborted).toBe(false);
  });
});

describe('Deadline.race()', () => {
  test('gives the value of work that ends in time, and does not call it late', async () => {
    using deadline = new Deadline('Work', 1_000);
    const late = vi.fn();
    expect(await deadline.race(Promise.resolve('value'), late)).toBe('value');
    expect(late).not.toHaveBeenCalled();
  });

  test('gives the failure of work that fails in time', async () => {
    using deadline = new Deadline('Work', 1_000);
    await expect(deadline.race(Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  });

  test('stops waiting at the end and hands over what arrives later', async () => {
    const deadline = new Deadline('Work', 1_000);
    const work = Promise.withResolvers<string>();
    const late = Promise.withResolvers<string>();
    const raced = deadline.race(work.promise, late.resolve);
    vi.advanceTimersByTime(1_000);
    await expect(raced).rejects.toMatchObject({ code: 'deadline_exceeded' });
    work.resolve('too late');
    expect(await late.promise).toBe('too late');
  });

  test('swallows a failure that comes after the wait was given up', async () => {
    const deadline = new Deadline('Work', 1_000);
    const work = Promise.withResolvers<string>();
    const raced = deadline.race(work.promise);
    vi.advanceTimersByTime(1_000);
    await expect(raced).rejects.toMatchObject({ code: 'deadline_exceeded' });
    work.reject(new Error('nobody listens'));
    await expect(work.promise).rejects.toThrow('nobody listens');
  });

  test('does not wait when the deadline has ended before', async () => {
    const deadline = new Deadline('Work', 5_000, { signal: AbortSignal.abort(new WorkcellError('busy', 'Stopping')) });
    await expect(deadline.race(new Promise(() => {}))).rejects.toMatchObject({ code: 'busy', message: 'Stopping' });
  });
});

describe('poll()', () => {
  test('calls the probe until it gives something', async () => {
    using deadline = new Deadline('Polling', 1_000);
    const answers = [undefined, undefined, 0];
    const polled = poll(deadline, () => answers.shift(), 100);
    await vi.advanceTimersByTimeAsync(200);
    expect(await polled).toBe(0);
    expect(answers).toEqual([]);
  });

  test('ends with the deadline', async () => {
    const deadline = new Deadline('Polling', 1_000);
    const polled = poll(deadline, () => undefined, 100);
    const failed = expect(polled).rejects.toMatchObject({ code: 'deadline_exceeded' });
    await vi.advanceTimersByTimeAsync(1_000);
    await failed;
  });

  test('passes on what the probe throws', async () => {
    using deadline = new Deadline('Polling', 1_000);
    await expect(
      poll(deadline, () => {
        throw new Error('probe broke');
      }),
    ).rejects.toThrow('probe broke');
  });
});
