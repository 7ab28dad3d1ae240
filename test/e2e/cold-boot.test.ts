import { release } from 'node:os';
import { expect, it } from 'vitest';
import { openCell } from '../support/cell.ts';

it('boots from scratch where templates are switched off, and runs the same program', async () => {
  await using cell = await openCell({ sandbox: { template: false } });
  const result = await cell.workcell.customer('cold').execute({
    code: `import { writeFileSync } from 'node:fs';
      import { release } from 'node:os';
      writeFileSync('cold.txt', 'written by the first program of a cold guest');
      return release();`,
  });
  expect(result).toMatchObject({ status: 'completed', sandbox: { boot: 'cold' } });
  expect(result.value).not.toBe(release());
  const { files } = await cell.workcell.customer('cold').workspace();
  const written = await files.readFile('cold.txt', { maxBytes: 1024 });
  expect(Buffer.from(written).toString()).toBe('written by the first program of a cold guest');
});
