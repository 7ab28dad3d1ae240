import { describe, expect, test } from 'vitest';
import { SharedTime } from '../../../src/util/shared-time.ts';
import { ProgramMeter } from '../../../src/workcell/program-meter.ts';

/** A sandbox of two CPUs whose time and use the test makes pass. */
function newSandbox() {
  const sandbox = { now: 0, cpuMs: 0 as number | undefined };
  const time = new SharedTime(() => sandbox.now);
  const readCpu = async () => sandbox.cpuMs;
  const pass = (ms: number, cpuMs = 0) => {
    sandbox.now += ms;
    if (sandbox.cpuMs !== undefined) sandbox.cpuMs += cpuMs;
  };
  return { sandbox, readCpu, pass, begin: () => new ProgramMeter(time, 2) };
}

/** Lets readings that are under way arrive. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('the time that a program waits for a person', () => {
  test.each([
    ['nothing, when the sandbox does nothing', 0, 0],
    ['what the sandbox uses of its CPUs', 3_000, 1_500],
    ['never more than it was', 1_000_000, 60_000],
    ['never less than nothing', -500, 0],
  ])('counts as %s', async (_what, used, expected) => {
    const { begin, pass, readCpu } = newSandbox();
    const meter = begin();
    pass(1_000, 2_000);
    const goOn = meter.pause(readCpu);
    await settle();
    pass(60_000, used);
    goOn();
    goOn();
    await settle();
    pass(500, 10);
    expect(await meter.end()).toBe(1_500 + expected);
  });

  test('counts in full where nobody measures', async () => {
    const { sandbox, begin, pass, readCpu } = newSandbox();
    sandbox.cpuMs = undefined;
    const meter = begin();
    meter.pause(readCpu);
    await settle();
    pass(60_000);
    expect(await meter.end()).toBe(60_000);
  });

  test('counts in full when the sandbox is gone before it can be measured again', async () => {
    const { sandbox, begin, pass, readCpu } = newSandbox();
    const meter = begin();
    meter.pause(readCpu);
    await settle();
    pass(60_000);
    sandbox.cpuMs = undefined;
    expect(await meter.end()).toBe(60_000);
  });

  test('counts until the first measurement is there', async () => {
    const { begin, pass } = newSandbox();
    const reading = Promise.withResolvers<number>();
    const meter = begin();
    const goOn = meter.pause(() => reading.promise);
    await settle();
    pass(700, 0);
    reading.resolve(0);
    await settle();
    pass(60_000, 0);
    goOn();
    expect(await meter.end()).toBe(700);
  });

  test('lasts until the last of several waits is over, and may begin anew', async () => {
    const { begin, pass, readCpu } = newSandbox();
    const meter = begin();
    for (let round = 0; round < 2; round++) {
      const [first, second] = [meter.pause(readCpu), meter.pause(readCpu)];
      await settle();
      pass(60_000);
      first();
      await settle();
      pass(60_000);
      second();
      await settle();
      pass(100);
    }
    expect(await meter.end()).toBe(200);
  });

  test('is paid for by another program that has the sandbox meanwhile', async () => {
    const { begin, pass, readCpu } = newSandbox();
    const [waits, works] = [begin(), begin()];
    const goOn = waits.pause(readCpu);
    await settle();
    pass(10_000, 20_000);
    expect(await works.end()).toBe(10_000);
    pass(60_000, 0);
    goOn();
    expect(await waits.end()).toBe(10_000);
  });
});
