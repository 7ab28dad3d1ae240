import { expect, it } from 'vitest';
import { runCrashes } from '../crash/run-crashes.ts';

const KILLS = 200;

it(`${KILLS} kills at random and chosen moments lose nothing that was acknowledged, and no call of a replay takes effect twice`, {
  timeout: 1_200_000,
}, async () => {
  const seed = Date.now() % 1_000_000;
  const report = await runCrashes({ kills: KILLS, seed });
  expect(report.problems, `npm run crash -- ${KILLS} ${seed}`).toEqual([]);
  const killed = Object.values(report.kills).reduce((sum, count) => sum + count, 0);
  expect([killed, report.acknowledged > KILLS], JSON.stringify(report)).toEqual([KILLS, true]);
});
