import { expect, test } from 'vitest';
import { table } from '../../../src/cli/output.ts';

test('a table has aligned columns, and no cell steers the terminal or moves another', () => {
  const rows = [
    ['a\u001b[31mb', 'one'],
    ['long name', 'two\u009b2J'],
  ];
  expect(table(rows)).toBe('a[31mb     one\nlong name  two2J');
});
