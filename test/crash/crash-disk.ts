import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '../unit/random.ts';
import type { Recorded } from './recorded.ts';

/** What of that which was never synced is on disk after the power has gone; of files with `pages`, any pages as they were at any time. */
export type Survives = 'nothing' | 'everything' | 'something' | 'pages';

const PAGE_BYTES = 4096;

type Node = FileNode | DirectoryNode;

interface FileChange {
  readonly id: number | undefined;
  readonly apply: (content: Buffer, share: number) => Buffer;
}

interface NameChange {
  readonly id: number | undefined;
  /** What a name stands for from here on; undefined: nothing. */
  readonly names: readonly (readonly [name: string, node: Node | undefined])[];
}

interface FileNode {
  readonly kind: 'file';
  content: Buffer;
  changes: FileChange[];
  size: number;
}

interface DirectoryNode {
  readonly kind: 'directory';
  readonly names: Map<string, Node>;
  changes: NameChange[];
}

/**
 * A disk that keeps what was synced, and of the rest whatever it likes: any of the writes, each to any length; or each page of a file,
 * and its size, as it was at any time since; any of the names.
 */
export class CrashDisk {
  /** What the kernel's numbers stand for now: it gives that of a file that is gone to another one. */
  readonly #nodes = new Map<number, Node>();
  readonly #root: number;
  readonly #open = new Set<number>();
  readonly #syncing = new Map<number, { readonly node: Node; readonly covers: ReadonlySet<unknown> }>();

  private constructor(root: number) {
    this.#root = root;
  }

  /** With everything that is below a folder, synced. */
  static async of(folder: string): Promise<CrashDisk> {
    const disk = new CrashDisk((await stat(folder)).ino);
    await disk.#read(folder);
    return disk;
  }

  apply(entry: Recorded): void {
    const { id } = entry;
    if (id !== undefined && entry.op !== 'end') this.#open.add(id);
    switch (entry.op) {
      case 'create':
        if (entry.kind !== 'link') this.#nodes.set(entry.inode, emptyNode(entry.kind));
        this.#directory(entry.directory)?.changes.push({ id, names: [[entry.name, this.#nodes.get(entry.inode)]] });
        break;
      case 'rename': {
        const { from, directory, name } = entry;
        const node = this.#nodes.get(entry.inode);
        const isSame = from.directory === directory;
        const gone = [from.name, undefined] as const;
        this.#directory(directory)?.changes.push({ id, names: isSame ? [gone, [name, node]] : [[name, node]] });
        if (!isSame) this.#directory(from.directory)?.changes.push({ id, names: [gone] });
        break;
      }
      case 'remove':
        this.#directory(entry.directory)?.changes.push({ id, names: [[entry.name, undefined]] });
        break;
      case 'write': {
        const file = this.#file(entry.inode);
        if (file === undefined) break;
        const data = Buffer.from(entry.data, 'base64');
        const at = entry.at === 'end' ? file.size : entry.at;
        file.size = Math.max(file.size, at + data.length);
        file.changes.push({
          id,
          apply: (content, share) => written(content, at, data.subarray(0, Math.floor(share * data.length))),
        });
        break;
      }
      case 'truncate': {
        const file = this.#file(entry.inode);
        if (file === undefined) break;
        file.size = entry.size;
        file.changes.push({ id, apply: (content) => content.subarray(0, entry.size) });
        break;
      }
      case 'sync': {
        const node = this.#nodes.get(entry.inode);
        if (id === undefined || node === undefined) break;
        this.#syncing.set(id, { node, covers: new Set(node.changes.filter((change) => !this.#isOpen(change.id))) });
        break;
      }
      case 'end':
        this.#open.delete(entry.id);
        this.#synced(entry.id);
        break;
      case 'ack':
        break;
      default:
        entry satisfies never;
    }
  }

  /** Writes what is left of the disk below a folder that is empty. */
  async materialize(folder: string, survives: Survives, random: Random): Promise<void> {
    const root = this.#nodes.get(this.#root);
    if (root !== undefined) await write(root, folder, { survives, random });
  }

  async #read(path: string): Promise<void> {
    const { ino } = await stat(path);
    const names = new Map<string, Node>();
    this.#nodes.set(ino, { kind: 'directory', names, changes: [] });
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const child = join(path, entry.name);
      const inode = (await stat(child)).ino;
      if (entry.isDirectory()) await this.#read(child);
      else {
        const content = await readFile(child);
        this.#nodes.set(inode, { kind: 'file', content, changes: [], size: content.length });
      }
      const node = this.#nodes.get(inode);
      if (node !== undefined) names.set(entry.name, node);
    }
  }

  /** Nobody knows how far it is. */
  #isOpen(id: number | undefined): boolean {
    return id !== undefined && this.#open.has(id);
  }

  #synced(id: number): void {
    const sync = this.#syncing.get(id);
    if (sync === undefined) return;
    const { node } = sync;
    this.#syncing.delete(id);
    if (node.kind === 'file') {
      for (const change of node.changes) if (sync.covers.has(change)) node.content = change.apply(node.content, 1);
      node.changes = node.changes.filter((change) => !sync.covers.has(change));
    } else {
      for (const change of node.changes) if (sync.covers.has(change)) rename(node.names, change);
      node.changes = node.changes.filter((change) => !sync.covers.has(change));
    }
  }

  #file(inode: number): FileNode | undefined {
    const node = this.#nodes.get(inode);
    return node?.kind === 'file' ? node : undefined;
  }

  #directory(inode: number): DirectoryNode | undefined {
    const node = this.#nodes.get(inode);
    return node?.kind === 'directory' ? node : undefined;
  }
}

function emptyNode(kind: Node['kind']): Node {
  if (kind === 'file') return { kind, content: Buffer.alloc(0), changes: [], size: 0 };
  return { kind, names: new Map(), changes: [] };
}

function rename(names: Map<string, Node>, change: NameChange): void {
  for (const [name, node] of change.names) {
    if (node === undefined) names.delete(name);
    else names.set(name, node);
  }
}

/** The system writes pages back in any order, and notes how large a file is whenever it likes. */
function pagesOf({ content, changes }: FileNode, random: Random): Buffer {
  const versions: [Buffer, ...Buffer[]] = [content];
  for (const change of changes) versions.push(change.apply(versions.at(-1) ?? content, 1));
  const result = Buffer.alloc(random.pick(versions).length);
  // A version that ends before has nothing there.
  for (let at = 0; at < result.length; at += PAGE_BYTES)
    result.set(random.pick(versions).subarray(at, Math.min(at + PAGE_BYTES, result.length)), at);
  return result;
}

/** What was never written between the two is zeros. */
function written(content: Buffer, at: number, data: Buffer): Buffer {
  const result = Buffer.alloc(Math.max(content.length, data.length === 0 ? 0 : at + data.length));
  content.copy(result);
  data.copy(result, at);
  return result;
}

async function write(
  node: Node,
  path: string,
  left: { readonly survives: Survives; readonly random: Random },
): Promise<void> {
  const { survives, random } = left;
  const keeps = () => survives === 'everything' || (survives !== 'nothing' && random.next() < 0.5);
  if (node.kind === 'file' && survives === 'pages') return await writeFile(path, pagesOf(node, random));
  if (node.kind === 'file') {
    const share = () => (survives === 'everything' || random.next() < 0.5 ? 1 : random.next());
    const kept = node.changes.filter(keeps);
    return await writeFile(
      path,
      kept.reduce((content, change) => change.apply(content, share()), node.content),
    );
  }
  await mkdir(path, { recursive: true });
  const names = new Map(node.names);
  for (const change of node.changes.filter(keeps)) rename(names, change);
  for (const [name, child] of names) await write(child, join(path, name), left);
}
