import { expect, it } from 'vitest';
import { runPowerLosses } from '../crash/run-power-losses.ts';

it('whatever a disk keeps of what was never synced, nothing that was acknowledged is lost when the power goes, and the log goes on', {
  timeout: 600_000,
}, async () => {
  const seed = Date.now() % 1_000_000;
  const report = await runPowerLosses({ states: 300, seed });
  expect(report.problems, `seed ${seed}`).toEqual([]);
  // Each of them was looked for in about half of the states.
  expect(report.acknowledged, JSON.stringify(report)).toBeGreaterThan(30);
});
