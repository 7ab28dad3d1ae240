/** A program in Python: the same tools, called from threads at once; and one that fails, at the line of its author. */

import assert from 'node:assert/strict';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { freshCustomer, microvmOf, openCell, SHARED } from '../support.ts';

const FOLDER = join(SHARED, 'example-08-python');

const PROGRAM = `"""Writes the readings of five stations at once, reads them back, and sums them up."""
from concurrent.futures import ThreadPoolExecutor
from statistics import mean

from servers.filesystem import read_text_file, write_file

READINGS = {"north": [3, 5], "south": [11, 13], "east": [7], "west": [8, 10], "centre": [9]}


def store(station):
    path = f"example-08-python/{station}.txt"
    write_file(path=path, content=" ".join(map(str, READINGS[station])))
    return mean(map(int, read_text_file(path=path)["content"].split()))


with ThreadPoolExecutor() as pool:
    means = dict(zip(READINGS, pool.map(store, READINGS)))

warmest = max(means, key=means.get)
print(f"{warmest} is the warmest of {len(means)}")
result = {"warmest": warmest, "mean": mean(means.values())}
`;

const CARELESS_PROGRAM = `from servers.filesystem import read_text_file

def first_line(path):
    return read_text_file(path=path)["content"].splitlines()[0]

result = first_line("example-08-python/nothing-here.txt")
`;

await using cell = await openCell();
const customer = await freshCustomer(cell, 'example-08-python');
await rm(FOLDER, { recursive: true, force: true });
await mkdir(FOLDER, { recursive: true });
try {
  const result = await customer.execute({ code: PROGRAM, language: 'python' });
  microvmOf(result);
  console.log(`Printed   ${result.stdout.trimEnd()}`);
  console.log(`Value     ${JSON.stringify(result.value)}`);
  console.log(`Calls     ${result.calls.length} of ${result.selection.tools.map(({ tool }) => tool).join(' and ')}`);

  const careless = await customer.execute({ code: CARELESS_PROGRAM, language: 'python' });
  const { error } = careless;
  console.log(
    `\nNot caught, so the run is a result that says\n  ${careless.status}: ${error?.name} in line ${error?.line}`,
  );

  assert.equal(result.stdout, 'south is the warmest of 5\n');
  assert.deepEqual(result.value, { warmest: 'south', mean: 8.2 });
  assert.equal(result.calls.filter(({ ok }) => ok).length, 10);
  assert.equal(await readFile(join(FOLDER, 'south.txt'), 'utf8'), '11 13');
  assert.equal(careless.status, 'failed');
  assert.equal(error?.name, 'ToolError');
  assert.equal(error.line, 4);
  assert.equal(error.fields?.['code'], 'tool_failed');
  assert.match(error.stack, /File "program\.py", line 6, in <module>/);
} finally {
  await rm(FOLDER, { recursive: true, force: true });
}
