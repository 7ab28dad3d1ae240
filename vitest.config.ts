import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 180_000,
    // Two emulated guests already use both cores of a small machine; more test files at once only slow each other.
    maxWorkers: 2,
  },
});
