// Drives the volumes of a server through the stock SDK, whose folder is the first argument; prints what it saw as JSON.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const sdk = createRequire(join(String(process.argv[2]), 'package.json')).resolve('microsandbox');
const { Volume } = await import(pathToFileURL(sdk).href);

const says = (work: Promise<unknown>) => work.then(String, (error: Error) => `${error.name}: ${error.message}`);

const created = await Volume.builder('data').label('env', 'test').create();
const fs = created.fs();
await fs.mkdir('a/b');
await fs.write('a/b/c.txt', 'hällo');
await fs.write('/a/big', Buffer.alloc(9_000_000, 'abc'));
await fs.write('empty', '');
await fs.copy('a/b/c.txt', 'copies/made/d.txt');
await fs.rename('a/b/c.txt', 'moved/e.txt');
const sink = await fs.writeStream('streamed');
for (let index = 0; index < 100; index++) await sink.write(Buffer.alloc(100_000, index));
await sink.close();
const stream = await fs.readStream('streamed');
const streamed = await stream.collect();
const list = async (path: string) => {
  const entries: { path: string; kind: string; size: number; mode: number }[] = await fs.list(path);
  return entries.map(({ path, kind, size, mode }) => [path, kind, size, mode.toString(8)]);
};
const stat = await fs.stat('moved/e.txt');
const report = {
  read: await fs.readToString('moved/e.txt'),
  copied: await fs.readToString('copies/made/d.txt'),
  bigIsEqual: Buffer.from(await fs.read('a/big')).equals(Buffer.alloc(9_000_000, 'abc')),
  empty: (await fs.read('empty')).byteLength,
  streamed: [streamed.byteLength, streamed[99_999], streamed[100_000], streamed.at(-1)],
  root: (await list('/')).map(([path, kind]) => [path, kind]),
  moved: await list('moved'),
  stat: [stat.kind, stat.size, stat.readonly, stat.modified instanceof Date],
  exists: [await fs.exists('moved/e.txt'), await fs.exists('a/b/c.txt'), await fs.exists('/')],
  missing: await says(fs.read('no-such-file')),
  outside: await says(fs.read('../volume.json')),
  folderAsFile: await says(fs.remove('moved')),
  removed: [await says(fs.remove('empty')), await says(fs.removeDir('moved')), await says(fs.removeDir('/'))],
  left: (await list('')).map(([path]) => path),
  listed: (await Volume.list()).map((volume: { name: string; labels: unknown }) => [volume.name, volume.labels]),
  used: (await Volume.get('data')).usedBytes > 9_000_000,
};
const capped = await says(Volume.builder('capped').quota(2048).create());
const cappedBytes = capped.startsWith('[object') ? (await Volume.get('capped')).capacityBytes : capped;
const host = await Volume.getDefault();
await host.fs().write('customers/acme.json', '{}');
const defaults = [
  host.isDefault,
  host.name,
  await (await Volume.getDefault()).fs().readToString('customers/acme.json'),
];
const twice = await says(Volume.builder('data').create());
await Volume.remove('data');
const gone = await says(Volume.get('data'));
console.log(JSON.stringify({ ...report, cappedBytes, defaults, twice, gone }));
