import { basename } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Small files that take long. Begun where their size puts them, one of them would run at the very end, beside nothing. */
const LONG = ['crash', 'conformance', 'fuzz', 'chaos', 'examples', 'paused-executions'].map(
  (name) => `${name}.test.ts`,
);

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification) => LONG.includes(basename(moduleId));
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // For what hangs: a loaded machine is several times slower than one with nothing else to do.
    testTimeout: 180_000,
    hookTimeout: 300_000,
    // Two emulated guests already use both cores of a small machine; more test files at once only slow each other.
    maxWorkers: 2,
    sequence: { sequencer: LongFirst },
  },
});
