import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { MicrosandboxDriver } from '../../../src/sandbox/drivers/microsandbox/driver.ts';
import { Deadline } from '../../../src/util/deadline.ts';

describe('the probe of the driver "microsandbox"', () => {
  it('goes by what the CPU offers, and names a remedy for everything that is missing', async () => {
    const virtual = /^flags\s*:.*\b(vmx|svm)\b/m.test(await readFile('/proc/cpuinfo', 'utf8'));
    await using driver = new MicrosandboxDriver({ cache: tmpdir() });
    const { ready, isolation, problems } = await driver.probe();
    expect(isolation).toBe('hardware');
    expect(ready).toBe(problems.length === 0);
    expect(problems.some(({ what }) => what.includes('neither vmx nor svm'))).toBe(!virtual);
    for (const { what, fix } of problems) expect([what, fix]).not.toContain('');
  });

  it('is what a boot fails with where it is not ready', async ({ skip }) => {
    await using driver = new MicrosandboxDriver({ cache: tmpdir() });
    const { ready, problems } = await driver.probe();
    if (ready) skip('this machine can run Microsandbox');
    using deadline = new Deadline('Preparing', 120_000);
    await expect(driver.prepare(deadline, () => {})).rejects.toMatchObject({
      code: 'driver_unavailable',
      message: expect.stringContaining(problems[0]?.fix ?? ''),
    });
  });
});
