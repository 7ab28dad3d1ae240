import { createHash, randomBytes } from 'node:crypto';
import type { GatedFiles, ListedEntry } from '../util/gated-files.ts';
import { hasHoles } from '../util/pinned-files.ts';
import { entriesOf, statIfThere } from './merge-tree.ts';
import type { FileContents } from './snapshot-manifest.ts';

/** Larger files are not held in memory. */
const WHOLE_BYTES = 4 * 1024 * 1024;
const ID_BYTES = 32;

/** The objects in a folder, by their names. */
export async function listObjects(tree: GatedFiles, folder: string): Promise<Set<string>> {
  const objects = new Set<string>();
  if ((await statIfThere(tree, folder)) === undefined) return objects;
  for (const { name: part } of await entriesOf(tree, folder))
    for (const { name } of await entriesOf(tree, `${folder}/${part}`)) objects.add(name);
  return objects;
}

/** Where an object lies in the folder of all. */
export function objectPath(object: string): string {
  return `${object.slice(0, 2)}/${object}`;
}

/** Makes objects of files; each content is written only when there is none like it. */
export class ObjectWriter {
  readonly #target: GatedFiles;
  readonly #known: Set<string>;

  /** `known`: the objects that there are already. */
  constructor(target: GatedFiles, known: Set<string>) {
    this.#target = target;
    this.#known = known;
  }

  /** A file as it is read. Throws `invalid_state` when it changes its kind, or its size beyond what can be read on. */
  async add(folder: GatedFiles, entry: ListedEntry): Promise<FileContents> {
    if (hasHoles(entry)) return await this.#copy(folder, entry.name);
    return entry.size <= WHOLE_BYTES ? await this.#whole(folder, entry.name) : await this.#stream(folder, entry.name);
  }

  /** Nobody reads all the holes of a file for the sake of a sum: such an object has a name that no other has. */
  async #copy(folder: GatedFiles, name: string): Promise<FileContents> {
    const object = randomBytes(ID_BYTES).toString('hex');
    await folder.cloneFile(name, objectPath(object), { into: this.#target });
    const { size } = await this.#target.stat(objectPath(object));
    return { size, from: { object } };
  }

  async #whole(folder: GatedFiles, name: string): Promise<FileContents> {
    const bytes = await folder.readFile(name, { maxBytes: WHOLE_BYTES });
    const object = createHash('sha256').update(bytes).digest('hex');
    if (!this.#known.has(object)) {
      this.#known.add(object);
      await this.#target.writeFile(objectPath(object), bytes, { sync: false });
    }
    return { size: bytes.length, from: { object } };
  }

  async #stream(folder: GatedFiles, name: string): Promise<FileContents> {
    const { size, stream } = await folder.openFile(name);
    const hash = createHash('sha256');
    const hashed = async function* () {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        hash.update(chunk);
        yield chunk;
      }
    };
    const draft = randomBytes(ID_BYTES).toString('hex');
    await this.#target.writeFile(objectPath(draft), hashed(), { sync: false });
    const object = hash.digest('hex');
    if (this.#known.has(object)) await this.#target.remove(objectPath(draft));
    else await this.#target.rename(objectPath(draft), objectPath(object));
    this.#known.add(object);
    return { size, from: { object } };
  }
}
