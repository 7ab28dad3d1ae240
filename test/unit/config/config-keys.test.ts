import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { configKeys } from '../../../src/config/schema.ts';

const SRC = fileURLToPath(new URL('../../../src', import.meta.url));

describe('configKeys', () => {
  it('lists every leaf of the schema', () => {
    expect(configKeys()).toEqual(
      expect.arrayContaining([
        'paths.cache',
        'mcpServers.*.env',
        'sandbox.bootTimeout',
        'limits.toolCalls',
        'log.level',
      ]),
    );
    expect(configKeys()).not.toContain('sandbox');
  });

  it.each(configKeys())('%s is read by code outside of src/config', (key) => {
    expect(readersOf(key), `no code reads ${key}; wire it or take it out of the schema`).not.toEqual([]);
  });

  it('finds no reader of a key that nobody reads', () => {
    expect(readersOf('sandbox.unheardOf')).toEqual([]);
    expect(readersOf('mcpServers.*.unheardOf')).toEqual([]);
  });
});

/** The files that read the key's resolved value, `section.field`, where the field may name its unit. */
function readersOf(key: string): readonly string[] {
  const [section, field] = placeOf(key);
  const read = new RegExp(`\\b${section}\\??\\.${field}(Ms|Bytes)?\\b`);
  const destructured = new RegExp(`\\b${field}(Ms|Bytes)?\\b[^{}]*\\}\\s*=\\s*[\\w.#]*\\b${section}\\b`);
  return sources()
    .filter(({ code }) => read.test(code) || destructured.test(code))
    .map(({ path }) => path);
}

/** The quotas of a customer are one object, wherever they come from. */
function placeOf(key: string): readonly (string | undefined)[] {
  if (key.startsWith('quotas.')) return ['limits', key.split('.').at(-1)];
  return key.startsWith('mcpServers.*.') ? ['server', key.slice(13)] : key.split('.');
}

function sources(): readonly { readonly path: string; readonly code: string }[] {
  return readdirSync(SRC, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.startsWith('config/'))
    .map((path) => ({ path, code: withoutComments(readFileSync(join(SRC, path), 'utf8')) }));
}

function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '');
}
