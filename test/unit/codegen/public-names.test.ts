import { expect, test } from 'vitest';
import { publicNames } from '../../../src/codegen/public-names.ts';

const isPublic = publicNames([
  {
    kind: 'upstream',
    server: 'garden',
    tool: 'list_plants',
    identifier: 'listPlants',
    description: 'Lists plants with their soil moisture',
    inputSchema: { type: 'object', properties: { greenhouseId: { type: 'string' } } },
  },
]);

test.each([
  'id',
  'createdAt',
  'total_count',
  'plants',
  'plant',
  'soilMoisture',
  'GREENHOUSE_ID',
  'address2',
  '$ref',
  '@type',
  '_links',
  'content-type',
])('%s is a name that everybody may see', (name) => {
  expect(isPublic(name)).toBe(true);
});

test.each([
  'alice',
  'aliceId',
  'plant_alice',
  'ann@example.com',
  '42',
  '2026-01-01',
  'id 7',
  'path/to/file',
  'order12345',
  '',
  '日本',
  '__proto__',
  `id${'_id'.repeat(40)}`,
  'a\nb',
])('%j may be data', (name) => {
  expect(isPublic(name)).toBe(false);
});
