import { describe, expect, it } from 'vitest';
import { InvalidPayload } from '../../../src/guest/agentd/payload.ts';
import { REQUESTS } from '../../../src/guest/agentd/requests.ts';
import { encodeLimit, mergeLimits } from '../../../src/guest/agentd/resource-limits.ts';

const exec = (payload: unknown) => REQUESTS['core.exec.request'](payload, '');
const fs = (op: unknown) => REQUESTS['core.fs.request']({ op }, '');

describe('a payload', () => {
  it('gets the defaults of the protocol', () => {
    expect(exec({ cmd: 'x', cwd: null, new_field: 1 })).toEqual({
      ...{ cmd: 'x', args: [], env: [], cwd: undefined, user: undefined },
      ...{ tty: false, rows: 24, cols: 80, rlimits: [] },
    });
  });

  it.each([
    [null, 'it is not a map'],
    [{}, '"cmd" is not a string'],
    [{ cmd: 'x', args: null }, '"args" is not an array'],
    [{ cmd: 'x', args: ['a', 1] }, '"args[1]" is not a string'],
    [{ cmd: 'x', tty: 1 }, '"tty" is not a boolean'],
    [{ cmd: 'x', rows: 65536 }, '"rows" is not an integer from 0 to 65535'],
    [{ cmd: 'x', rows: 1.5 }, '"rows" is not an integer from 0 to 65535'],
    [{ cmd: 'x', rlimits: [{ resource: 'cpu', soft: -1, hard: 1 }] }, '"rlimits[0].soft" is not an integer'],
  ])('is refused: %j', (payload, message) => {
    expect(() => exec(payload)).toThrow(InvalidPayload);
    expect(() => exec(payload)).toThrow(message);
  });

  it('names a file operation by its key', () => {
    expect(fs({ Read: { handle: 1, offset: 2n ** 40n } })).toEqual({
      op: { name: 'Read', args: { handle: 1, offset: 2 ** 40, len: undefined } },
    });
    expect(() => fs({ Read: { handle: -1, offset: 0 } })).toThrow('"op.Read.handle" is not an integer');
    expect(() => fs({ toString: {} })).toThrow(InvalidPayload);
  });
});

describe('limits', () => {
  it('are the defaults where nothing was asked for', () => {
    const limit = (resource: string, soft: number) => ({ resource, soft, hard: 9 });
    expect(mergeLimits([limit('cpu', 1), limit('as', 2)], [limit('as', 3)])).toEqual([limit('cpu', 1), limit('as', 3)]);
  });

  it.each([
    [0, '0000000000000000'],
    [2 ** 32 + 1, '0100000001000000'],
    // What 2^64-1 is as a number.
    [2 ** 64, 'ffffffffffffffff'],
  ])('are written as 64 bits: %d', (value, hex) => {
    expect(encodeLimit({ resource: 'cpu', soft: value, hard: value }).toString('hex')).toBe(hex + hex);
  });
});
