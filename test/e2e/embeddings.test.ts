import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeConfig } from '../support/cell-config.ts';
import { cli } from '../support/cli.ts';
import { eventually } from '../support/processes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const WITHOUT_PACKAGE = `--import=${fileURLToPath(new URL('../support/without-transformers.ts', import.meta.url))}`;
/** Shares no word with any of the calculator's tools. */
const QUERY = 'plonk twain';

let folder: TempFolder;

beforeAll(async () => {
  folder = await tempFolder();
  await writeTinyModel(join(folder.path, 'model'), [
    ['plonk', 'sum', 'add'],
    ['quotient', 'divide'],
  ]);
});
afterAll(() => folder?.[Symbol.asyncDispose]());

/** Runs the command in a cell of its own, with a cache that holds nothing. */
async function workcell(args: readonly string[], embeddings: Record<string, string | boolean>, nodeOptions = '') {
  await using cell = await tempFolder();
  await writeConfig(cell.path, { embeddings });
  await mkdir(join(cell.path, 'cache'));
  const env = { WORKCELL_CACHE_DIR: join(cell.path, 'cache'), NODE_OPTIONS: nodeOptions };
  return await cli(args, { cwd: cell.path, env });
}

const search = ['tools', 'search', QUERY, '--json'];
const local = () => ({ mode: 'auto', offline: true, modelPath: join(folder.path, 'model') });

describe('workcell tools search', () => {
  it('finds by meaning with a model in a folder, and says so', async () => {
    const found = await eventually(async () => {
      const { code, stdout } = await workcell(search, local());
      expect(code).toBe(0);
      const { mode, hits, withoutEmbeddings } = JSON.parse(stdout);
      // A process of a loaded machine may need longer than a query waits.
      return /still loads|are embedded|is busy/.test(withoutEmbeddings ?? '') ? false : { mode, hits };
    });
    expect(found).toMatchObject({
      mode: 'hybrid',
      hits: [{ server: 'calculator', tool: 'add', reasons: [expect.stringMatching(/^meaning: /)] }],
    });
  });

  it('works without the package, and says what to install', async () => {
    const { code, stdout } = await workcell(
      ['tools', 'search', 'add numbers', '--limit', '1', '--json'],
      local(),
      WITHOUT_PACKAGE,
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      mode: 'lexical',
      withoutEmbeddings: expect.stringContaining('npm install @xenova/transformers@npm:@huggingface/transformers@4'),
      hits: [{ tool: 'add' }],
    });
  });

  it('says on stderr why it found by words alone, and prints what it found', async () => {
    const { code, stdout, stderr } = await workcell(['tools', 'search', 'add numbers'], { mode: 'auto' });
    expect(code).toBe(0);
    expect(stdout).toContain('calculator.add: ');
    expect(stderr).toContain(
      'found by words alone: all-MiniLM-L6-v2 is not on this machine; `workcell tools embed` gets it',
    );
  });

  it('is silent about embeddings when they are off', async () => {
    const { stdout, stderr } = await workcell(['tools', 'search', 'add numbers', '--detail', 'names'], { mode: 'off' });
    expect(stdout.split('\n')[0]).toBe('calculator.add');
    expect(stderr).toBe('');
  });

  it('keeps to its budget of tokens, and names on stderr what is left out', async () => {
    const args = ['tools', 'search', 'add numbers', '--query', 'divide', '--detail', 'full', '--max-tokens', '1'];
    const { code, stdout, stderr } = await workcell(args, { mode: 'off' });
    expect({ code, stdout: stdout.trim() }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toMatch(/left out: calculator\.add, .*--max-tokens/);
  });

  it.each([
    ['--detail', 'everything', 'Allowed choices are names, summaries, full'],
    ['--max-tokens', 'none', 'whole number above 0'],
  ])('exits with 2 for %s %s', async (flag, value, message) => {
    const { code, stderr } = await workcell(['tools', 'search', 'add', flag, value], { mode: 'off' });
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe('workcell tools embed', () => {
  it('embeds every tool with the model of a folder', async () => {
    const { code, stderr } = await workcell(['tools', 'embed'], local());
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('5 of 5 new tools are embedded') });
  });

  it.each([
    ['embeddings are off', { mode: 'off' }, '', 2, 'selector.embeddings.mode'],
    ['the package is missing', { mode: 'auto' }, WITHOUT_PACKAGE, 2, 'npm install @xenova/transformers'],
    ['it may not download', { mode: 'auto', offline: true }, '', 2, 'selector.embeddings.offline forbids'],
  ])('fails when %s, and says what to do', async (_what, embeddings, nodeOptions, exit, message) => {
    const { code, stderr } = await workcell(['tools', 'embed'], embeddings, nodeOptions);
    expect(code).toBe(exit);
    expect(stderr).toContain(message);
  });
});

it('workcell doctor says whether tools are found by meaning', async () => {
  const facts = async (embeddings: Record<string, string | boolean>, nodeOptions = '') => {
    const { stdout } = await workcell(['doctor', '--json'], embeddings, nodeOptions);
    return (JSON.parse(stdout) as { facts: Record<string, string> }).facts['embeddings'];
  };
  expect(await facts({ mode: 'off' })).toBe('off');
  expect(await facts({ mode: 'auto' })).toContain('`workcell tools embed` gets it');
  expect(await facts(local())).toBe(join(folder.path, 'model'));
  expect(await facts({ mode: 'auto' }, WITHOUT_PACKAGE)).toContain('not installed');
});
