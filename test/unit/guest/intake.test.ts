import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Intake } from '../../../src/guest/agentd/intake.ts';

const MIB = 1024 * 1024;
const events: string[] = [];
const link = {
  send: () => true,
  onDrain: () => {},
  pause: () => events.push('pause'),
  resume: () => events.push('resume'),
};
const holder = (name: string) => ({ giveUp: () => events.push(`${name} gives up`) });

beforeEach(() => {
  events.length = 0;
  vi.useFakeTimers();
});
afterEach(() => vi.useRealTimers());

describe('the intake', () => {
  it('stops the link beyond 8 MiB, and goes on when half of it is used', () => {
    const intake = new Intake(link);
    const [one, two] = [holder('one'), holder('two')];
    intake.hold(one, 8 * MIB);
    expect(events).toEqual([]);
    intake.hold(two, 1);
    expect(events).toEqual(['pause']);
    intake.release(one, 4 * MIB);
    expect(events).toEqual(['pause']);
    intake.release(two, 1);
    expect(events).toEqual(['pause', 'resume']);
  });

  it('takes from the one that holds most when nothing is used for 30 s', () => {
    const intake = new Intake(link);
    const [one, two] = [holder('one'), holder('two')];
    intake.hold(one, MIB);
    intake.hold(two, 8 * MIB);
    vi.advanceTimersByTime(29_000);
    intake.release(one, 1);
    vi.advanceTimersByTime(29_999);
    expect(events).toEqual(['pause']);
    vi.advanceTimersByTime(1);
    expect(events).toEqual(['pause', 'resume', 'two gives up']);
    vi.advanceTimersByTime(100_000);
    expect(events).toHaveLength(3);
  });

  it('takes from the one that holds most when a link cannot be stopped and brings more than 64 MiB', () => {
    const intake = new Intake(link);
    const [one, two] = [holder('one'), holder('two')];
    intake.hold(one, 32 * MIB);
    intake.hold(two, 32 * MIB - 1);
    intake.hold(one, 1);
    expect(events).toEqual(['pause']);
    intake.hold(one, 1);
    expect(events).toEqual(['pause', 'one gives up']);
    intake.release(one, 32 * MIB);
    intake.release(two, 32 * MIB - 1);
    expect(events).toEqual(['pause', 'one gives up', 'resume']);
  });
});
