import { lstat, mkdtemp, readdir, readlink, rm } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Header, Pax } from 'tar';
import { isWorkcellError } from '../../src/core/errors.ts';
import { parseCustomerId } from '../../src/core/ids.ts';
import { readTar } from '../../src/util/tar-reader.ts';
import { CustomerFiles } from '../../src/workcell/customer-files.ts';
import { WorkspaceStore } from '../../src/workspaces/workspace-store.ts';
import type { Random } from '../unit/random.ts';
import { mutateBytes } from './mutate.ts';

const BLOCK = 512;
const CHECKSUM = { at: 148, length: 8 } as const;
const SIZE = { at: 124, length: 12 } as const;
const LIMITS = { bytes: 4_000, entries: 6 };
const AT = new Date('2026-01-02T03:04:05Z');

type Facts = ConstructorParameters<typeof Header>[0] & object;

function part(facts: Facts, content = ''): Buffer {
  const size = Buffer.byteLength(content);
  const bytes = Buffer.alloc(BLOCK + Math.ceil(size / BLOCK) * BLOCK);
  new Header({ mode: 0o644, mtime: AT, size, ...facts }).encode(bytes);
  bytes.write(content, BLOCK);
  return bytes;
}

const LONG = `${'d'.repeat(120)}/${'é'.repeat(60)}`;
/** Each begins with a header. */
const PARTS: readonly [Buffer, ...Buffer[]] = [
  part({ path: 'a', type: 'File' }, 'content'),
  part({ path: 'b/c', type: 'File' }, 'x'.repeat(1_300)),
  part({ path: './b/', type: 'Directory', mode: 0o000 }),
  part({ path: 'near', type: 'SymbolicLink', linkpath: 'b/c' }),
  part({ path: 'far', type: 'SymbolicLink', linkpath: '../../etc/passwd' }),
  part({ path: 'near/through', type: 'File' }, 'x'),
  part({ path: '../up', type: 'File' }, 'x'),
  part({ path: '/absolute', type: 'File' }, 'x'),
  part({ path: 'hard', type: 'Link', linkpath: 'a' }),
  part({ path: 'holes', type: 'SparseFile' }, 'x'),
  part({ path: 'null', type: 'CharacterDevice' }),
  part({ path: '././@LongLink', type: 'NextFileHasLongPath' }, `${LONG}\0`),
  part({ path: '././@LongLink', type: 'NextFileHasLongLinkpath' }, `${LONG}\0`),
  part({ path: 'PaxHeader/a', type: 'GlobalExtendedHeader' }, '13 comment=x\n'),
  part({ path: 'PaxHeader/a', type: 'ExtendedHeader' }, '25 GNU.sparse.major=1\n20 GNU.sparse=0\n'),
  Buffer.from(new Pax({ path: LONG, linkpath: LONG, size: 7, mtime: AT }).encode()),
];

/** An archive as a stranger sends it; the sums of its headers are right nearly always, or nothing else would be read. */
function forgeArchive(random: Random): Buffer {
  const parts = Array.from({ length: random.integer(1, 4) }, () => forgePart(random.pick(PARTS), random));
  const whole = Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
  const cut = random.next() < 0.1 ? whole.subarray(0, random.integer(0, whole.length)) : whole;
  if (random.next() > 0.1) return cut;
  const packed = gzipSync(cut, { level: 1 });
  return random.next() < 0.5 ? packed : Buffer.from(mutateBytes(packed, random));
}

function forgePart(seed: Buffer, random: Random): Buffer {
  if (random.next() < 0.3) return seed;
  const header = Buffer.alloc(BLOCK);
  Buffer.from(mutateBytes(seed.subarray(0, BLOCK), random)).copy(header);
  if (random.next() < 0.15) forgeSize(header, random);
  if (random.next() < 0.95) seal(header);
  const content = seed.subarray(BLOCK);
  return Buffer.concat([header, random.next() < 0.7 ? content : mutateBytes(content, random)]);
}

/** Also in the base of 256 that GNU tar uses, where it may be negative or more than a number can be. */
function forgeSize(header: Buffer, random: Random): void {
  const sizes = [0, 1, 511, 512, 513, LIMITS.bytes, LIMITS.bytes + 1, 8 ** 11 - 1] as const;
  if (random.next() < 0.5) header.write(random.pick(sizes).toString(8).padStart(11, '0'), SIZE.at);
  else {
    for (let i = 0; i < SIZE.length; i++) header[SIZE.at + i] = random.pick([0, 1, 0x7f, 0xff]);
    header[SIZE.at] = random.pick([0x80, 0xff]);
  }
}

function seal(header: Buffer): void {
  header.fill(' ', CHECKSUM.at, CHECKSUM.at + CHECKSUM.length);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, CHECKSUM.at);
}

async function* inPieces(bytes: Buffer, random: Random): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const end = at + random.integer(1, 1_500);
    yield bytes.subarray(at, end);
    at = end;
  }
}

/** No more comes out than may, each file has the size that it says, and what is refused is refused as the sender's mistake. */
export async function readArchive(random: Random): Promise<void> {
  let [bytes, entries] = [0, 0];
  const archive = forgeArchive(random);
  try {
    for await (const entry of readTar(inPieces(archive, random), LIMITS)) {
      entries++;
      if (entry.type !== 'file' || random.next() < 0.2) continue;
      let size = 0;
      for await (const chunk of entry.content) size += chunk.length;
      if (size !== entry.size) throw new Error(`A file of ${entry.size} bytes has ${size}`);
      bytes += size;
    }
  } catch (error) {
    if (!isWorkcellError(error) || error.code !== 'invalid_argument') throw error;
  }
  if (bytes > LIMITS.bytes || entries > LIMITS.entries)
    throw new Error(`${entries} entries of ${bytes} bytes came out`);
}

/** Nothing appears but below the files of the workspace, no link leads out of them, and what is refused leaves nothing. */
export async function openUploadTarget(stack: AsyncDisposableStack): Promise<(random: Random) => Promise<void>> {
  // In memory: each archive that is taken waits until it is on the disk.
  const root = await mkdtemp('/dev/shm/workcell-fuzz-');
  stack.defer(() => rm(root, { recursive: true }));
  const store = stack.use(new WorkspaceStore({ root }));
  const workspace = await store.open(parseCustomerId('acme'));
  const files = new CustomerFiles({
    open: async () => ({ ...workspace, ...(await workspace.tenure.share()) }),
    find: async () => workspace,
    admit: async () => {},
    archiveLimits: () => LIMITS,
  });
  await files.upload((async function* () {})()).catch(() => {});
  const around = async () =>
    (await readdir(root, { recursive: true })).filter((name) => !name.includes('/files/')).sort();
  const before = (await around()).join();
  return async (random) => {
    let isRefused = false;
    try {
      await files.upload(inPieces(forgeArchive(random), random));
    } catch (error) {
      if (!isWorkcellError(error) || error.code !== 'invalid_argument') throw error;
      isRefused = true;
    }
    const after = (await around()).join();
    if (after !== before) throw new Error(`There is ${after} instead of ${before}`);
    const made = await readdir(workspace.filesPath, { recursive: true });
    if (isRefused && made.length > 0) throw new Error(`What was refused left ${made}`);
    for (const name of made) await assertInside(workspace.filesPath, name);
    for (const name of await readdir(workspace.filesPath))
      await rm(join(workspace.filesPath, name), { recursive: true });
  };
}

async function assertInside(root: string, name: string): Promise<void> {
  const path = join(root, name);
  const stats = await lstat(path);
  if (stats.isSymbolicLink()) {
    const end = relative(root, resolve(path, '..', await readlink(path)));
    if (end.startsWith('..')) throw new Error(`The link ${name} leads out of the files`);
  } else if (!stats.isFile() && !stats.isDirectory()) throw new Error(`${name} is neither a file, a folder nor a link`);
}
