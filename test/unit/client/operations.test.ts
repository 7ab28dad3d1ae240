import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { clientTypes } from '../../../scripts/generate-client.ts';

test('the types of the client are those of the OpenAPI document; npm run generate:client writes them', async () => {
  const path = new URL('../../../src/client/operations.ts', import.meta.url);
  expect(await readFile(path, 'utf8')).toBe(await clientTypes());
});
