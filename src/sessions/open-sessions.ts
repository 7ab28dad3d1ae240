import type { SessionId } from '../core/ids.ts';
import { KeyedTurns } from '../util/keyed-turns.ts';
import type { StoredEvent } from './events.ts';
import type { ExecutionRegister } from './execution-register.ts';
import { LogFile, type OpenMode } from './log-file.ts';
import type { SessionFolder } from './session-folder.ts';
import type { IndexedSource } from './session-index.ts';
import { SessionLog } from './session-log.ts';

export interface OpenSessionsOptions {
  readonly folder: SessionFolder;
  readonly register: ExecutionRegister;
  /** Bytes of one session in which no further execution starts. */
  readonly maxBytes: number;
  /** Told of every event that is brought to disk, in the order of each session. Must not throw. */
  readonly onStored: ((session: SessionId, event: StoredEvent) => void) | undefined;
}

interface SharedFile {
  readonly file: LogFile;
  users: number;
}

/** The sessions that this process writes to: each has one file, which all of its users share until the last one closes it. */
export class OpenSessions {
  readonly #options: OpenSessionsOptions;
  readonly #shared = new Map<SessionId, SharedFile>();
  /** Opening and closing a session take turns, so that each finds the files in the state that the one before left. */
  readonly #turns = new KeyedTurns();

  constructor(options: OpenSessionsOptions) {
    this.#options = options;
  }

  /** Throws `not_found` and `already_exists` as `mode` demands, and `busy` when another process has the session open. */
  open(id: SessionId, mode: OpenMode): Promise<SessionLog> {
    return this.#turns.take(id, async () => {
      const known = mode === 'create' ? undefined : this.#shared.get(id);
      const shared = known ?? { file: await this.#openFile(id, mode), users: 0 };
      this.#shared.set(id, shared);
      shared.users++;
      return new SessionLog(shared.file, () => this.#leave(shared));
    });
  }

  has(id: SessionId): boolean {
    return this.#shared.has(id);
  }

  /** A session's log as far as it is on disk, where this process writes it. */
  sourceOf(id: SessionId): IndexedSource {
    return this.#shared.get(id)?.file.source ?? this.#options.folder.sourceOf(id);
  }

  /** Does something while the session is neither opened nor closed. */
  meanwhile<T>(id: SessionId, work: () => Promise<T>): Promise<T> {
    return this.#turns.take(id, work);
  }

  #leave(shared: SharedFile): Promise<void> {
    return this.#turns.take(shared.file.id, async () => {
      if (--shared.users > 0) return;
      this.#shared.delete(shared.file.id);
      await shared.file.close();
    });
  }

  async #openFile(id: SessionId, mode: OpenMode): Promise<LogFile> {
    const { folder, register, maxBytes, onStored } = this.#options;
    return await LogFile.open({
      ...folder.sourceOf(id),
      customer: folder.customer,
      lock: (token) => folder.lockOf(id, token),
      register,
      maxBytes,
      mode,
      fence: folder.fence,
      onStored: (event) => onStored?.(id, event),
    });
  }
}
