// Drives a server through the stock SDK, whose folder is the first argument; prints what it saw as JSON.
// The second argument is the image; default `host`.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const sdk = createRequire(join(String(process.argv[2]), 'package.json')).resolve('microsandbox');
const { Sandbox } = await import(pathToFileURL(sdk).href);

const sandbox = await Sandbox.builder('sdk')
  .image(process.argv[3] ?? 'host')
  .cpus(1)
  .memory(512)
  .create();
const output = await sandbox.exec('sh', ['-c', 'echo out; echo err >&2; exit 3']);
const missing = await sandbox.exec('no-such-command', []).catch((error: Error) => error.message);
const followed = async (count: number, options: object = {}) => {
  const entries: { source: string; text(): string; cursor: string }[] = [];
  for await (const entry of await sandbox.logStream({ follow: true, ...options })) {
    entries.push(entry);
    if (entries.length === count) break;
  }
  return entries;
};
const log = await followed(2);
const resumed = await followed(1, { fromCursor: log[0]?.cursor });
const fs = sandbox.fs();
await fs.mkdir('/tmp/d');
await fs.write('/tmp/d/a.txt', 'hällo');
await fs.copy('/tmp/d/a.txt', '/tmp/d/b.txt');
await fs.rename('/tmp/d/b.txt', '/tmp/d/c.txt');
const big = Buffer.alloc(9_000_000, 'abc');
await fs.write('/tmp/big', big);
const report = {
  output: [output.stdout(), output.stderr(), output.code],
  missing,
  log: [...log, ...resumed].map((entry) => [entry.source, entry.text()]),
  read: await fs.readToString('/tmp/d/c.txt'),
  size: (await fs.stat('/tmp/d/c.txt')).size,
  list: (await fs.list('/tmp/d')).map(({ path }: { path: string }) => path),
  bigIsEqual: Buffer.from(await fs.read('/tmp/big')).equals(big),
};
await sandbox.stop();
await Sandbox.remove('sdk');
console.log(JSON.stringify(report));
