import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { createDriver, reportDrivers } from '../../src/workcell/driver-choice.ts';
import { writeConfig } from '../support/cell-config.ts';
import { tempFolder } from '../support/temp-folder.ts';

type Sandbox = Readonly<Record<string, string>>;

async function withConfig<T>(sandbox: Sandbox, work: (config: Config) => Promise<T>): Promise<T> {
  await using folder = await tempFolder();
  const path = await writeConfig(folder.path, { sandbox });
  return await work((await loadConfig({ path, env: {} })).config);
}

describe('the choice of a driver', () => {
  it('reports on every driver, and uses the first that can run', async () => {
    const reports = await withConfig({ isolation: 'process' }, reportDrivers);
    expect(reports.map(({ driver }) => driver)).toEqual(expect.arrayContaining(['qemu', 'bubblewrap']));
    expect(reports.filter(({ chosen }) => chosen)).toEqual(reports.filter(({ ready }) => ready).slice(0, 1));
    for (const { ready, problems } of reports) expect(problems.length === 0).toBe(ready);
  });

  it.each([
    ['hardware', ['emulated', 'process']],
    ['emulated', ['process']],
  ])('never uses less than the isolation "%s"', async (isolation, weaker) => {
    const reports = await withConfig({ isolation }, reportDrivers);
    const refused = reports.filter((report) => weaker.includes(report.isolation));
    expect(refused.length).toBeGreaterThan(0);
    for (const { ready, chosen, problems } of refused)
      expect({ ready, chosen, first: problems[0] }).toEqual({
        ready: false,
        chosen: false,
        first: { what: expect.stringContaining(isolation), fix: expect.stringContaining('sandbox.isolation') },
      });
  });

  it('refuses bubblewrap by name where more is asked for, and says what to set', async () => {
    await expect(withConfig({ driver: 'bubblewrap' }, createDriver)).rejects.toMatchObject({
      code: 'invalid_config',
      message: expect.stringContaining('set sandbox.isolation to "process"'),
    });
  });

  it('takes bubblewrap by name where the configuration allows it', async () => {
    await using driver = await withConfig({ driver: 'bubblewrap', isolation: 'process' }, createDriver);
    expect(driver).toMatchObject({ name: 'bubblewrap', isolation: 'process' });
  });
});
