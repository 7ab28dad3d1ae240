import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { passRate } from '../conformance/compatibility-page.ts';
import { gapOf } from '../conformance/known-gaps.ts';
import { runConformance } from '../conformance/run-conformance.ts';
import { serveDriver } from '../support/serve-driver.ts';
import { stockClients } from '../support/stock-clients.ts';

const TIMEOUT_MS = 20 * 60_000;

describe.each(['qemu', 'bubblewrap'])('the stock clients on the driver %s', (driver) => {
  it('do their everyday work; what they cannot do has a reason', { timeout: TIMEOUT_MS }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'workcell-conformance-'));
    try {
      await using server = await serveDriver(driver, folder);
      const { url, apiKey, hostFolder } = server;
      const clients = await stockClients();
      const scratch = join(folder, 'client');
      const results = await runConformance({
        ...{ url, apiKey, clients, hostFolder, scratch },
        image: 'host',
        onResult: () => {},
      });
      const unexplained = results.filter((result) => !result.ok && gapOf(driver, result) === undefined);
      expect(unexplained).toEqual([]);
      expect(results.filter((result) => result.ok && gapOf(driver, result) !== undefined)).toEqual([]);
      if (driver === 'qemu') expect(passRate(results)).toBeGreaterThanOrEqual(0.95);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
