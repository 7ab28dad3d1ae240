import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // For what hangs: a loaded machine is several times slower than one with nothing else to do.
    testTimeout: 180_000,
    hookTimeout: 300_000,
    // Two emulated guests already use both cores of a small machine; more test files at once only slow each other.
    maxWorkers: 2,
  },
});
