import type { Dir } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { clientOf } from '../../protocol/agent-frames.ts';

/** As in the original (`crates/agentd/lib/fs.rs`). */
const MAX_HANDLES_PER_CLIENT = 1024;

export interface OpenFile {
  readonly kind: 'file';
  readonly file: FileHandle;
  readonly path: string;
  readonly read: boolean;
  readonly write: boolean;
  readonly append: boolean;
}

export interface OpenDirectory {
  readonly kind: 'directory';
  readonly directory: Dir;
  readonly path: string;
}

export type OpenEntry = OpenFile | OpenDirectory;

/** What clients have open. Each may use only its own; errors are in the original's words. */
export class FsHandles {
  readonly #entries = new Map<number, { readonly owner: number; readonly entry: OpenEntry }>();
  #last = 0;

  /** Closes the entry and throws when the client of this request has too many already. */
  async add(id: number, entry: OpenEntry): Promise<number> {
    const open = [...this.#entries.values()].filter(({ owner }) => owner === clientOf(id)).length;
    if (open >= MAX_HANDLES_PER_CLIENT) {
      await closeEntry(entry);
      throw new Error(`too many open filesystem handles for relay client: ${open}`);
    }
    this.#last += 1;
    this.#entries.set(this.#last, { owner: clientOf(id), entry });
    return this.#last;
  }

  get(id: number, handle: number): OpenEntry {
    const found = this.#entries.get(handle);
    if (found === undefined) throw new Error(`invalid handle: ${handle}`);
    if (found.owner !== clientOf(id)) throw new Error(`handle ${handle} is owned by a different relay client`);
    return found.entry;
  }

  file(id: number, handle: number): OpenFile {
    const entry = this.get(id, handle);
    if (entry.kind !== 'file') throw new Error(`handle ${handle} is a directory`);
    return entry;
  }

  directory(id: number, handle: number): OpenDirectory {
    const entry = this.get(id, handle);
    if (entry.kind !== 'directory') throw new Error(`handle ${handle} is a file`);
    return entry;
  }

  async close(id: number, handle: number): Promise<void> {
    const entry = this.get(id, handle);
    this.#entries.delete(handle);
    await closeEntry(entry);
  }

  /** Closes what a client has open. */
  forget(client: number): void {
    for (const [handle, { owner, entry }] of this.#entries) {
      if (owner !== client) continue;
      this.#entries.delete(handle);
      void closeEntry(entry).catch(() => {});
    }
  }
}

/** Waits for what is going on with it. */
async function closeEntry(entry: OpenEntry): Promise<void> {
  await (entry.kind === 'file' ? entry.file.close() : entry.directory.close());
}
