import { describe, expect, test } from 'vitest';
import { errnoOf, succeeds } from '../../../src/util/errno.ts';

const missing = Object.assign(new Error('no such file'), { code: 'ENOENT' });

describe('errnoOf()', () => {
  test.each([
    [missing, 'ENOENT'],
    [new Error('plain'), ''],
    [{ code: 7 }, ''],
    [null, ''],
    [undefined, ''],
    ['ENOENT', ''],
  ])('of %s is %j', (error, errno) => {
    expect(errnoOf(error)).toBe(errno);
  });
});

describe('succeeds()', () => {
  test('is true when the work ends well', async () => {
    expect(await succeeds(Promise.resolve(), ['ENOENT'])).toBe(true);
  });

  test('is false when the work fails with an expected code', async () => {
    expect(await succeeds(Promise.reject(missing), ['EEXIST', 'ENOENT'])).toBe(false);
  });

  test('throws any other failure', async () => {
    await expect(succeeds(Promise.reject(missing), ['EEXIST'])).rejects.toBe(missing);
  });
});
