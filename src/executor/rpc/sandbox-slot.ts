import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isWorkcellError, WorkcellError } from '../../core/errors.ts';
import { FileLock } from '../../util/file-lock.ts';
import type { RpcName } from './rpc-client.ts';

/** Sandboxes of one customer at a time: one for each process that runs programs for it. */
const MAX_SLOTS = 16;

const DIGESTED = 'customer-';

/** A name that no other process uses. */
export interface SandboxSlot {
  readonly name: RpcName;
  readonly lock: FileLock;
}

/**
 * A 0.2 server keeps every name that it has ever been given, with its disk, and forgets no sandbox whose client was killed. So
 * names come from a small set for each customer, in a namespace of the customer's own. `folder` holds who uses which; all
 * processes that work for the same customers share it. Throws `busy` when all names are taken.
 */
export async function takeSlot(folder: string, customer: string): Promise<SandboxSlot> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (let slot = 1; slot <= MAX_SLOTS; slot++) {
    const path = join(folder, `${customer}.${slot}`);
    try {
      const lock = await FileLock.acquire({ path, what: `Sandbox ${slot} of customer "${customer}"` });
      return { name: { namespace: namespaceOf(customer), sandbox: `workcell-${slot}` }, lock };
    } catch (error) {
      if (!isWorkcellError(error) || error.code !== 'busy') throw error;
    }
  }
  throw new WorkcellError('busy', `${MAX_SLOTS} processes run programs of customer "${customer}" already`);
}

/** Namespaces take no dots. What a digest stands for is never the id of a customer as it is. */
function namespaceOf(customer: string): string {
  if (!customer.includes('.') && !customer.startsWith(DIGESTED)) return customer;
  return `${DIGESTED}${createHash('sha256').update(customer).digest('hex').slice(0, 40)}`;
}
