import { homedir } from 'node:os';
import { join } from 'node:path';
import { BubblewrapDriver } from '../../src/sandbox/drivers/bubblewrap/driver.ts';
import { QemuDriver } from '../../src/sandbox/drivers/qemu/driver.ts';
import { describeDriver } from '../../src/testing/index.ts';

const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'workcell');

describeDriver('bubblewrap', async () => new BubblewrapDriver({ cache: CACHE, processes: 200 }), {
  bootTimeoutMs: 30_000,
  memoryMib: 256,
  monitor: 'bwrap',
  processes: 200,
});

describeDriver('qemu', () => QemuDriver.create({ cache: CACHE, defaults: { cpus: 1, memoryMib: 512 } }), {
  bootTimeoutMs: 90_000,
  memoryMib: 512,
  monitor: 'qemu-system-x86_64',
});
