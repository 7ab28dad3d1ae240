import { homedir } from 'node:os';
import { join } from 'node:path';
import { BubblewrapDriver } from '../../src/sandbox/drivers/bubblewrap/driver.ts';
import { QemuDriver } from '../../src/sandbox/drivers/qemu/driver.ts';
import { describeDriver } from '../../src/testing/index.ts';

const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'workcell');

const LIMITS = { processes: 150, descriptors: 512 };

describeDriver('bubblewrap', async () => new BubblewrapDriver({ cache: CACHE, ...LIMITS }), {
  bootTimeoutMs: 90_000,
  memoryMib: 256,
  monitor: 'bwrap',
  ...LIMITS,
});

describeDriver('qemu', () => QemuDriver.create({ cache: CACHE, defaults: { cpus: 1, memoryMib: 512 }, ...LIMITS }), {
  bootTimeoutMs: 90_000,
  memoryMib: 512,
  monitor: 'qemu-system-x86_64',
  ...LIMITS,
});
