import { expect, test } from 'vitest';
import { parseCustomerId, parseExecutionId } from '../../../src/core/ids.ts';
import { runKey } from '../../../src/workcell/run-key.ts';

test('runKey() is the same for the same execution, another for that of another customer, and does not tell whose it is', () => {
  const [ann, bob] = [parseCustomerId('ann'), parseCustomerId('bob')];
  const [one, two] = [parseExecutionId('order-1'), parseExecutionId('order-2')];
  expect(runKey(ann, one)).toBe(runKey(ann, one));
  expect(new Set([runKey(ann, one), runKey(ann, two), runKey(bob, one)]).size).toBe(3);
  expect(runKey(ann, one)).toMatch(/^order-1\.[0-9a-f]{16}$/);
});
