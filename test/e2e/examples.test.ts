import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));
const TIMEOUT_MS = 240_000;
const run = promisify(execFile);

/** The line of each example's output that matters. */
const LINES: Readonly<Record<string, RegExp>> = {
  '01-basic': /^ {2}result {4}8$/m,
  '02-chain': /^ {2}- Ada of example 02 writes the first program$/m,
  '03-filter': /^\d{2,3} bytes left the microVM; [\d,]+ bytes stayed inside$/m,
  '04-errors': /^ {4}division_by_zero: 10 cannot be divided by zero$/m,
  '05-state': /^On the host {5}\{"done":\["collect","clean","report"\],"next":null\}$/m,
  '06-skill': /: imported it; each of three people pays 33$/m,
  '07-files': /^ {2}\+soup 5$/m,
  '08-python': /^Value {5}\{"warmest":"south","mean":8\.2\}$/m,
  '09-agent': /^Answer {2}(Chicago|Los Angeles) is the warmest, with \d+ degrees$/m,
};

describe('the examples', () => {
  test('are all run here', async () => {
    const entries = await readdir(EXAMPLES, { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    expect(folders.sort()).toEqual(Object.keys(LINES));
  });

  test.each(Object.entries(LINES))(
    '%s verifies its own outcome, from any folder',
    { timeout: TIMEOUT_MS + 10_000 },
    async (name, line) => {
      // Rejects, with what the example wrote, unless it exits with 0 in time.
      const { stdout } = await run(process.execPath, [`${EXAMPLES}${name}/main.ts`], {
        cwd: tmpdir(),
        timeout: TIMEOUT_MS,
      });
      expect(stdout).toMatch(line);
    },
  );
});
