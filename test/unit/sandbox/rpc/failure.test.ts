import { expect, it } from 'vitest';
import { WorkcellError } from '../../../../src/core/errors.ts';
import { toRpcFailure } from '../../../../src/sandbox/rpc/failure.ts';

it.each([
  ['sandbox.start', 'invalid_argument', 400, -32602],
  ['sandbox.stop', 'not_found', 400, -32003],
  ['sandbox.start', 'forbidden', 403, -32001],
  ['sandbox.start', 'invalid_state', 409, -32001],
  ['sandbox.start', 'sandbox_boot_failed', 500, -32000],
  ['sandbox.command.run', 'not_found', 500, -32000],
  ['sandbox.command.execute', 'invalid_state', 500, -32000],
  ['sandbox.repl.run', 'deadline_exceeded', 500, -32000],
] as const)('%s that fails with %s has the status of the original and a reason', (method, reason, status, code) => {
  const error = new WorkcellError(reason, 'Why', { details: { more: 1 } });
  expect(toRpcFailure(error, method)).toEqual({ status, error: { code, message: 'Why', data: { reason, more: 1 } } });
});

it('a failure that nobody foresaw does not tell of the host', () => {
  const error = new Error("ENOENT: no such file or directory, open '/srv/secret'");
  expect(toRpcFailure(error, 'sandbox.start')).toEqual({
    status: 500,
    error: { code: -32000, message: 'Internal server error', data: { reason: 'internal' } },
  });
});
