import { expect, it } from 'vitest';
import { runChaos } from '../chaos/run-chaos.ts';

// The short form of `npm run chaos`, which goes on for ten minutes.
const SECONDS = 40;

it('nothing that was acknowledged is lost, every call ends, and nothing is left over', {
  timeout: 400_000,
}, async () => {
  const report = await runChaos({ seconds: SECONDS, seed: 20, onEvent: () => {} });
  expect(report.problems, JSON.stringify(report)).toEqual([]);
  expect(report.acknowledged).toBeGreaterThan(5);
});
