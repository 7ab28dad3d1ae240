import { describe, expect, test } from 'vitest';
import { formatDuration, formatSize, parseDuration, parseSize } from '../../../src/core/units.ts';

describe('parseDuration()', () => {
  test.each([
    ['1ms', 1],
    ['500ms', 500],
    ['30s', 30_000],
    ['0.5s', 500],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['30d', 2_592_000_000],
    [' 2 s ', 2_000],
    [1500, 1500],
  ])('reads %j as %d ms', (value, ms) => {
    expect(parseDuration(value)).toBe(ms);
  });

  test.each(['', '5', 's', '-1s', '1w', '1e3s', '1.s', '5 minutes', '0s', '0.0001ms', 0, -1, Number.NaN, Infinity])(
    'refuses %j',
    (value) => {
      expect(() => parseDuration(value)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
    },
  );
});

describe('parseSize()', () => {
  test.each([
    ['1', 1],
    ['340B', 340],
    ['512K', 512 * 1024],
    ['64M', 64 * 1024 ** 2],
    ['64MB', 64 * 1024 ** 2],
    ['64MiB', 64 * 1024 ** 2],
    ['1.5G', 1.5 * 1024 ** 3],
    [' 2 K ', 2048],
    [4096, 4096],
  ])('reads %j as %d bytes', (value, bytes) => {
    expect(parseSize(value)).toBe(bytes);
  });

  test.each(['', 'K', '-1', '1T', '1 e3', '64mb', '0', '0K', 0, -1, Number.NaN, Infinity])('refuses %j', (value) => {
    expect(() => parseSize(value)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  });
});

describe('formatDuration()', () => {
  test.each([
    [0, '0 ms'],
    [34.4, '34 ms'],
    [999, '999 ms'],
    [1_000, '1.0 s'],
    [1_234, '1.2 s'],
  ])('writes %d as %j', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});

describe('formatSize()', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [12 * 1024, '12 KiB'],
    [1024 ** 2, '1.0 MiB'],
    [1.5 * 1024 ** 3, '1.5 GiB'],
  ])('writes %d as %j', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });
});
