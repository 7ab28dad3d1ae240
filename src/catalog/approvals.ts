import { join } from 'node:path';
import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import { schemaHash } from '../core/schema-hash.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import { readTextIfExists, writeFileAtomic } from '../util/atomic-file.ts';
import { lockServer } from './server-lock.ts';

const fileSchema = z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/));

type Approved = ReadonlyMap<string, string>;
type KnownTool = Pick<ToolDescriptor, 'tool' | 'description' | 'inputSchema' | 'outputSchema'>;

/**
 * The hashes with which tools were approved, beside the manifest: `servers/<server>/approved.json`. A server that is seen for the
 * first time is approved as it is; what it adds or changes afterwards waits for somebody.
 */
export class Approvals {
  readonly #servers: string;
  readonly #approved = new Map<string, Approved>();

  private constructor(servers: string) {
    this.#servers = servers;
  }

  /** Reads those of these servers. Throws `invalid_state` for a file that is damaged: what cannot be read approves nothing. */
  static async open(options: { readonly servers: string; readonly names: readonly string[] }): Promise<Approvals> {
    const approvals = new Approvals(options.servers);
    await Promise.all(options.names.map((name) => approvals.refresh(name)));
    return approvals;
  }

  find(server: string, tool: string): string | undefined {
    return this.#approved.get(server)?.get(tool);
  }

  /** Reads the file again: another process may have changed it. */
  async refresh(server: string): Promise<void> {
    const text = await readTextIfExists(this.#path(server));
    if (text === undefined) this.#approved.delete(server);
    else this.#approved.set(server, parse(server, text));
  }

  /** Approves these tools as they are. Throws as {@link lockServer} does. */
  async approve(server: string, tools: readonly KnownTool[]): Promise<void> {
    await using _lock = await lockServer(this.#servers, server);
    await this.refresh(server);
    await this.#add(server, tools);
  }

  /** Approves a server that is seen for the first time. */
  async approveFirst(server: string, tools: readonly KnownTool[]): Promise<void> {
    await using _lock = await lockServer(this.#servers, server);
    await this.refresh(server);
    if (!this.#approved.has(server)) await this.#add(server, tools);
  }

  async #add(server: string, tools: readonly KnownTool[]): Promise<void> {
    const approved = new Map(this.#approved.get(server));
    for (const tool of tools) approved.set(tool.tool, schemaHash(tool));
    const sorted = [...approved].sort(([a], [b]) => (a < b ? -1 : 1));
    await writeFileAtomic(this.#path(server), `${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`);
    this.#approved.set(server, approved);
  }

  #path(server: string): string {
    return join(this.#servers, server, 'approved.json');
  }
}

function parse(server: string, text: string): Approved {
  try {
    return new Map(Object.entries(fileSchema.parse(JSON.parse(text))));
  } catch (cause) {
    const message = `Cannot read servers/${server}/approved.json: it is damaged; restore it, or delete it to approve the tools as they are`;
    throw new WorkcellError('invalid_state', message, { cause });
  }
}
