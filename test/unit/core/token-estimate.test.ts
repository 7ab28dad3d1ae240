import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { expect, test } from 'vitest';
import { estimateTokens } from '../../../src/core/token-estimate.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

test.each(['docs/*.md', 'src/*/*.ts', 'servers/*/manifest.json'])(
  'the estimate of all of %s is within a tenth of what a tokenizer counts',
  (pattern) => {
    const text = globSync(pattern, { cwd: ROOT })
      .map((path) => readFileSync(`${ROOT}/${path}`, 'utf8'))
      .join('\n');
    const counted = countTokens(text);
    expect(counted).toBeGreaterThan(500);
    expect(Math.abs(estimateTokens(text) - counted) / counted).toBeLessThan(0.1);
  },
);

test.each([
  ['', 0],
  ['   ', 0],
  ['word', 1],
  ['createEntities', 2],
  ['HTTPServer', 2],
  ['1234567', 3],
  ['a\n\nb', 3],
  ['知识图谱', 4],
])('%j is %d tokens', (text, tokens) => {
  expect(estimateTokens(text)).toBe(tokens);
});
