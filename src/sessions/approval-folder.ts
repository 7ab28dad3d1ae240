import { randomBytes } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { link, mkdir, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type ApprovalDecision, executionOfApproval } from '../core/approval.ts';
import { toWorkcellError, WorkcellError } from '../core/errors.ts';
import type { PendingApproval } from '../core/execution.ts';
import { parseExecutionId, parseSessionId } from '../core/ids.ts';
import { readTextIfExists, writeFileAtomic } from '../util/atomic-file.ts';
import { errnoOf, succeeds } from '../util/errno.ts';

const pendingApproval = z.object({
  approvalId: z.string(),
  executionId: z.string().transform(parseExecutionId),
  sessionId: z.string().transform(parseSessionId),
  call: z.int().positive(),
  server: z.string(),
  tool: z.string(),
  arguments: z.unknown(),
  requestedAt: z.iso.datetime(),
});

const approvalDecision = z.object({ approved: z.boolean(), by: z.string(), reason: z.string().optional() });

const REQUEST = '.json';
const DECISION = '.decision.json';
const LOOK_EVERY_MS = 2_000;

/**
 * What waits for a decision, and decisions that wait to be carried out: files in a folder of the customer that no guest sees.
 *
 * History is in the sessions. A request is here before it is in its session, and goes away when the session has its decision:
 * whoever looks for what is open has to look here only, and finds perhaps one that is not open. Of several that decide on
 * the same request, in any process, one is first; its decision holds.
 */
export class ApprovalFolder {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Resolves when it is on disk. */
  async add(approval: PendingApproval): Promise<void> {
    await mkdir(this.#path, { recursive: true, mode: 0o700 });
    await writeFileAtomic(this.#fileOf(approval.approvalId, REQUEST), JSON.stringify(approval), 0o600);
    await this.#sync();
  }

  /** Oldest first. Throws `storage_failed` for a file that holds something else. */
  async list(): Promise<readonly PendingApproval[]> {
    const ids = (await this.#names()).flatMap((name) => {
      const isRequest = name.endsWith(REQUEST) && !name.endsWith(DECISION);
      return isRequest ? [name.slice(0, -REQUEST.length)] : [];
    });
    const found = await Promise.all(ids.map((id) => this.find(id)));
    return found
      .filter((approval) => approval !== undefined)
      .sort((a, b) => (a.requestedAt < b.requestedAt ? -1 : a.requestedAt > b.requestedAt ? 1 : a.call - b.call));
  }

  async find(approvalId: string): Promise<PendingApproval | undefined> {
    return this.#read(approvalId, REQUEST, pendingApproval);
  }

  async findDecision(approvalId: string): Promise<ApprovalDecision | undefined> {
    return this.#read(approvalId, DECISION, approvalDecision);
  }

  /**
   * Resolves when it is on disk, with the decision that holds: this one, or one that was there before. Undefined when that has
   * been carried out by now, so that the session has it.
   */
  async decide(approvalId: string, decision: ApprovalDecision): Promise<ApprovalDecision | undefined> {
    const path = this.#fileOf(approvalId, DECISION);
    const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`;
    await writeFileAtomic(draft, JSON.stringify(decision), 0o600);
    try {
      await succeeds(link(draft, path), ['EEXIST']);
    } finally {
      await rm(draft, { force: true });
    }
    await this.#sync();
    return this.findDecision(approvalId);
  }

  /** Forgets the request, and then its decision. */
  async remove(approvalId: string): Promise<void> {
    await rm(this.#fileOf(approvalId, REQUEST), { force: true });
    await rm(this.#fileOf(approvalId, DECISION), { force: true });
  }

  /** Calls `onChange` when something may have changed: as the system tells, and every two seconds, because it may not tell. */
  watch(onChange: () => void): Disposable {
    let watcher: FSWatcher | undefined;
    const listen = () => {
      try {
        watcher ??= watch(this.#path, { persistent: false }, onChange).on('error', () => {});
      } catch {
        // The folder is not there yet, or the system has no watches left.
      }
    };
    listen();
    const timer = setInterval(() => {
      listen();
      onChange();
    }, LOOK_EVERY_MS).unref();
    return {
      [Symbol.dispose]: () => {
        clearInterval(timer);
        watcher?.close();
      },
    };
  }

  async #read<Schema extends z.ZodType>(
    approvalId: string,
    suffix: string,
    schema: Schema,
  ): Promise<z.output<Schema> | undefined> {
    const text = await readTextIfExists(this.#fileOf(approvalId, suffix));
    if (text === undefined) return undefined;
    try {
      return schema.parse(JSON.parse(text));
    } catch (error) {
      const message = `Cannot read the approval "${approvalId}": its file does not hold one`;
      throw new WorkcellError('storage_failed', message, { cause: toWorkcellError(error) });
    }
  }

  /** Throws `not_found` for what is no id, before it comes near a path. */
  #fileOf(approvalId: string, suffix: string): string {
    executionOfApproval(approvalId);
    return join(this.#path, `${approvalId}${suffix}`);
  }

  async #names(): Promise<readonly string[]> {
    try {
      return (await readdir(this.#path)).filter((name) => name.startsWith('apr_'));
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    }
  }

  async #sync(): Promise<void> {
    await using folder = await open(this.#path, 'r');
    await folder.sync();
  }
}
