import { expect, it } from 'vitest';
import { runFuzz } from './run-fuzz.ts';

const INPUTS = 1_000_000;
/** Of a machine that does other things as well. */
const TIMEOUT_MS = 900_000;

it(
  'a million mutated inputs break nothing, hang nothing, and let no error out that is not documented',
  async () => {
    const { inputs, counts } = await runFuzz({ seed: 20_261_121, inputs: INPUTS });
    expect(inputs).toBe(INPUTS);
    for (const [target, count] of Object.entries(counts)) expect(count, target).toBeGreaterThan(500);
  },
  TIMEOUT_MS,
);

it('the same seed gives the same inputs', async () => {
  const [one, same, other] = await Promise.all([1, 1, 2].map((seed) => runFuzz({ seed, inputs: 2_000 })));
  expect(one?.counts).toEqual(same?.counts);
  expect(one?.counts).not.toEqual(other?.counts);
});
