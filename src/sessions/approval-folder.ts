import { randomBytes } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { link, mkdir, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type ApprovalDecision, executionOfApproval } from '../core/approval.ts';
import { toWorkcellError, WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import { readTextIfExists, writeFileAtomic } from '../util/atomic-file.ts';
import { errnoOf, succeeds } from '../util/errno.ts';
import { syncFolder } from '../util/sync-folder.ts';
import { isSealed, Sealing, type SessionKeys } from './sealing.ts';

export interface ApprovalFolderOptions {
  readonly customer: CustomerId;
  readonly path: string;
  /** Those of the customer's sessions: what is secret there is secret here. */
  readonly keys: SessionKeys;
}

const approvalDecision = z.object({ approved: z.boolean(), by: z.string(), reason: z.string().optional() });

/** An empty file. */
const REQUEST = '.open';
const DECISION = '.decision.json';
const LOOK_EVERY_MS = 2_000;

/**
 * Which approvals wait for a decision, and decisions that wait to be carried out: files in a folder of the customer that no guest
 * sees.
 *
 * What is asked for, and history, is in the sessions alone. A request is here before it is in its session, and goes away when the
 * session has its decision: whoever looks for what is open has to look here only, and finds perhaps one that is not open. Of
 * several that decide on the same request, in any process, one is first; its decision holds.
 */
export class ApprovalFolder {
  readonly #customer: CustomerId;
  readonly #path: string;
  readonly #sealing: Sealing;

  constructor({ customer, path, keys }: ApprovalFolderOptions) {
    this.#customer = customer;
    this.#path = path;
    this.#sealing = new Sealing(
      { purpose: `workcell approvals\0${customer}`, what: 'A decision on an approval' },
      keys,
    );
  }

  /** Resolves when it is on disk. */
  async add(approvalId: string): Promise<void> {
    await mkdir(this.#path, { recursive: true, mode: 0o700 });
    await (await open(this.#fileOf(approvalId, REQUEST), 'w', 0o600)).close();
    await syncFolder(this.#path);
  }

  /** The ids of those that were added, in no order. */
  list(): Promise<readonly string[]> {
    return approvalsIn(this.#path);
  }

  /** Throws `storage_failed` for a file that holds something else, and `invalid_config` when its key is missing. */
  async findDecision(approvalId: string): Promise<ApprovalDecision | undefined> {
    const text = await readTextIfExists(this.#fileOf(approvalId, DECISION));
    return text === undefined ? undefined : this.#decode(approvalId, text);
  }

  /**
   * Resolves when it is on disk, with the decision that holds: this one, or one that was there before. Undefined when that has
   * been carried out by now, so that the session has it.
   */
  async decide(approvalId: string, decision: ApprovalDecision): Promise<ApprovalDecision | undefined> {
    const path = this.#fileOf(approvalId, DECISION);
    const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`;
    const stored = this.#sealing.seal(decision, this.#placeOf(approvalId)) ?? decision;
    await mkdir(this.#path, { recursive: true, mode: 0o700 });
    await writeFileAtomic(draft, JSON.stringify(stored), 0o600);
    try {
      await succeeds(link(draft, path), ['EEXIST']);
    } finally {
      await rm(draft, { force: true });
    }
    await syncFolder(this.#path);
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

  #decode(approvalId: string, text: string): ApprovalDecision {
    const subject = `The decision on the approval "${approvalId}"`;
    const stored = this.#parse(approvalId, () => JSON.parse(text));
    if (isSealed(stored)) {
      const opened = this.#sealing.unseal(stored, this.#placeOf(approvalId), subject);
      return this.#parse(approvalId, () => approvalDecision.parse(opened));
    }
    if (!this.#sealing.seals) return this.#parse(approvalId, () => approvalDecision.parse(stored));
    const fix = `remove ${approvalId}${DECISION} from the folder "approvals" of the customer, and decide again`;
    throw new WorkcellError(
      'storage_failed',
      `${subject} is not encrypted, so whoever can write to the disk may have made it; ${fix}`,
    );
  }

  #parse<T>(approvalId: string, parse: () => T): T {
    try {
      return parse();
    } catch (error) {
      const message = `Cannot read the decision on the approval "${approvalId}": its file does not hold one`;
      throw new WorkcellError('storage_failed', message, { cause: toWorkcellError(error) });
    }
  }

  #placeOf(approvalId: string): readonly unknown[] {
    return ['workcell approval decision', 1, this.#customer, approvalId];
  }

  /** Throws `not_found` for what is no id, before it comes near a path. */
  #fileOf(approvalId: string, suffix: string): string {
    executionOfApproval(approvalId);
    return join(this.#path, `${approvalId}${suffix}`);
  }
}

/** The ids in such a folder, for those who only want to know whether there are any. */
export async function approvalsIn(path: string): Promise<readonly string[]> {
  try {
    const names = await readdir(path);
    return names.flatMap((name) => (name.endsWith(REQUEST) ? [name.slice(0, -REQUEST.length)] : []));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}
