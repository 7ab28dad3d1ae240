// Adds one to the number in a file, many times, each time reading and writing it under the lock.
import { readFile, writeFile } from 'node:fs/promises';
import { Deadline } from '../../../src/util/deadline.ts';
import { FileLock } from '../../../src/util/file-lock.ts';

const [path = '', counter = '', rounds = ''] = process.argv.slice(2);
using deadline = new Deadline('Counting', 150_000);
for (let round = 0; round < Number(rounds); round++) {
  await using _lock = await FileLock.wait({ path, what: 'The test lock' }, deadline);
  await writeFile(counter, String(Number(await readFile(counter, 'utf8')) + 1));
}
