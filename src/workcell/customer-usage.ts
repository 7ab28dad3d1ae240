import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import type { Retriever } from '../selector/retriever.ts';
import { UsageIndex } from '../selector/usage-index.ts';
import { rememberTask, type ServedTask, type UsageMemory } from '../selector/usage-memory.ts';
import { readTextIfExists, writeFileAtomic } from '../util/atomic-file.ts';
import { Deadline } from '../util/deadline.ts';
import { FileLock } from '../util/file-lock.ts';
import { fileVersion } from '../util/file-version.ts';

const PRIVATE = 0o600;
const LOCK_TIMEOUT_MS = 5_000;

const fileSchema = z.strictObject({
  v: z.literal(1),
  tools: z.array(
    z.object({
      server: z.string(),
      tool: z.string(),
      schemaHash: z.string(),
      tasks: z.array(z.object({ text: z.string(), at: z.iso.datetime() })).readonly(),
    }),
  ),
});

interface Read {
  /** Tells one content of the file from another. */
  readonly version: string;
  readonly memory: UsageMemory;
}

/**
 * What is remembered of the tasks that tools have served for one customer: a file beside its workspace that no guest sees.
 * It is replaced as a whole, so that whatever is killed leaves it as it was before or after.
 */
export class CustomerUsage {
  readonly #path: string;
  #read: Read | undefined;
  #index:
    | { readonly of: UsageMemory; readonly tools: readonly ToolDescriptor[]; readonly index: UsageIndex }
    | undefined;

  /** `path` is the file's; its folder must exist. */
  constructor(path: string) {
    this.#path = path;
  }

  /** Throws `storage_failed` for a file that cannot be read, or holds something else. */
  async memory(): Promise<UsageMemory> {
    const version = await fileVersion(this.#path);
    if (this.#read?.version === version) return this.#read.memory;
    const memory = parse(await readTextIfExists(this.#path));
    this.#read = { version, memory };
    return memory;
  }

  /** Finds tools by what is remembered; undefined when nothing is. Throws as {@link memory} does. */
  async history(tools: readonly ToolDescriptor[]): Promise<Retriever | undefined> {
    const memory = await this.memory();
    if (memory.length === 0) return undefined;
    const known = this.#index;
    const isSame =
      known?.of === memory && known.tools.length === tools.length && known.tools.every((tool, i) => tool === tools[i]);
    if (known === undefined || !isSame)
      this.#index = { of: memory, tools, index: new UsageIndex(memory, tools, new Date()) };
    return this.#index?.index;
  }

  /** Resolves when it is on disk. Throws as {@link memory} does, and `timed_out` when other processes keep writing. */
  async record(served: ServedTask): Promise<void> {
    if (served.tools.length === 0) return;
    await this.#locked(async () => {
      const memory = await this.memory();
      const more = rememberTask(memory, served);
      if (more !== memory) await this.#write(more);
    });
  }

  /** Forgets everything. */
  async clear(): Promise<void> {
    await this.#locked(() => this.#write([]));
  }

  async #locked(work: () => Promise<void>): Promise<void> {
    using deadline = new Deadline('Waiting to write the usage of tools', LOCK_TIMEOUT_MS);
    await using _lock = await FileLock.wait({ path: `${this.#path}.lock`, what: 'The usage of tools' }, deadline);
    await work();
  }

  async #write(memory: UsageMemory): Promise<void> {
    await writeFileAtomic(this.#path, `${JSON.stringify({ v: 1, tools: memory })}\n`, PRIVATE);
  }
}

function parse(text: string | undefined): UsageMemory {
  if (text === undefined) return [];
  try {
    return fileSchema.parse(JSON.parse(text)).tools;
  } catch (cause) {
    const message =
      'Cannot read what tools were used for: usage.json is not what was written there; forget it with `workcell tools usage --clear`';
    throw new WorkcellError('storage_failed', message, { cause });
  }
}
