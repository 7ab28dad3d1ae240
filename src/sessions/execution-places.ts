import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isWorkcellError } from '../core/errors.ts';
import type { ExecutionId, SessionId } from '../core/ids.ts';
import type { ExecutionRegister } from './execution-register.ts';
import { claimsOf } from './log-file.ts';
import type { SessionFolder } from './session-folder.ts';
import { SessionHistory } from './session-history.ts';
import { type IndexedSource, IndexWriter, readIndex } from './session-index.ts';

/** Where an execution is recorded. */
export interface ExecutionPlace {
  readonly session: SessionId;
  /** The byte of the log at which it starts. */
  readonly start: number;
}

export interface ExecutionPlacesOptions {
  readonly folder: SessionFolder;
  readonly register: ExecutionRegister;
  /** The log of a session as far as it is on disk. */
  readonly sourceOf: (id: SessionId) => IndexedSource;
}

/** Where executions are: what the register says, as far as the logs agree. */
export class ExecutionPlaces {
  readonly #options: ExecutionPlacesOptions;
  #registered: Promise<readonly SessionId[]> | undefined;

  constructor(options: ExecutionPlacesOptions) {
    this.#options = options;
  }

  /**
   * Where an execution is, without reading logs; `gone` when its session was deleted, undefined when there never was one.
   * An execution is here as soon as its start is on disk, whoever wrote it.
   */
  async locate(id: ExecutionId): Promise<ExecutionPlace | 'gone' | undefined> {
    const { folder, register } = this.#options;
    await this.unregistered();
    let isGone = false;
    for (const entry of await register.find(id)) {
      if (entry === 'gone') return entry;
      if (!(await folder.has(entry.session))) isGone = true;
      else if (await this.#startsAt(id, entry)) return entry;
    }
    return isGone ? 'gone' : undefined;
  }

  /**
   * The sessions whose executions {@link locate} cannot know, since their logs cannot be read. Registers, once, what lies in
   * logs that came here without their index.
   */
  async unregistered(): Promise<readonly SessionId[]> {
    this.#registered ??= this.#registerAll();
    this.#registered.catch(() => {
      this.#registered = undefined;
    });
    return await this.#registered;
  }

  async #registerAll(): Promise<readonly SessionId[]> {
    const { folder, register } = this.#options;
    const known = new Set((await register.exists()) ? await folder.indexed() : []);
    const unreadable: SessionId[] = [];
    for (const id of await folder.list()) {
      if (known.has(id)) continue;
      try {
        await this.#registerLog(id);
      } catch (error) {
        if (!isWorkcellError(error) || error.code !== 'storage_failed') throw error;
        unreadable.push(id);
      }
    }
    return unreadable;
  }

  async #registerLog(id: SessionId): Promise<void> {
    const { folder, register, sourceOf } = this.#options;
    const source = sourceOf(id);
    const landmarks = await readIndex(source);
    await register.add(claimsOf(id, landmarks.forward()));
    try {
      await using _lock = await folder.lock(id);
      const { writer } = await IndexWriter.open(source);
      await writer.close();
    } catch (error) {
      // Whoever writes to the session writes its index, too.
      if (!isWorkcellError(error) || error.code !== 'busy') throw error;
    }
  }

  async #startsAt(id: ExecutionId, { session, start }: ExecutionPlace): Promise<boolean> {
    const source = this.#options.sourceOf(session);
    // A crash can leave a claim without its start, and something else where that would have been.
    if (!(await startsLine(source.path, start))) return false;
    const event = await new SessionHistory(source).eventAt(start);
    return event?.type === 'execution.started' && event.executionId === id;
  }
}

async function startsLine(path: string, start: number): Promise<boolean> {
  if (start === 0) return true;
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, start - 1);
  return bytesRead === 1 && buffer.toString() === '\n';
}
