// A server with a state folder, as a process of its own that can be killed: FOLDER KEY [DRIVER [ALLOWED…]]
import { homedir } from 'node:os';
import { join } from 'node:path';
import { BubblewrapDriver } from '../../src/sandbox/drivers/bubblewrap/driver.ts';
import { QemuDriver } from '../../src/sandbox/drivers/qemu/driver.ts';
import { SandboxServer } from '../../src/sandbox/server.ts';
import { Secret } from '../../src/util/secret.ts';

const [folder = '', key = '', name = 'qemu', ...allow] = process.argv.slice(2);
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'workcell');
const driver =
  name === 'bubblewrap'
    ? new BubblewrapDriver({ cache })
    : await QemuDriver.create({ cache, defaults: { cpus: 1, memoryMib: 512 } });
const server = await SandboxServer.listen({
  driver,
  keys: [new Secret(key)],
  volumes: join(folder, 'volumes'),
  state: join(folder, 'state'),
  bootTimeoutMs: 60_000,
  allow,
});
console.log(server.url);
