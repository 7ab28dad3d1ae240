import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import { CredentialStore } from '../upstream/credential-store.ts';
import { errnoOf } from '../util/errno.ts';
import { measureTree } from '../util/measure-tree.ts';
import { lastActivity } from '../workspaces/activity.ts';
import type { WorkspaceStore } from '../workspaces/workspace-store.ts';
import { LOG_SUFFIX } from './export-customer.ts';

export interface InactiveCustomer {
  readonly customer: CustomerId;
  /** ISO 8601. */
  readonly lastActiveAt: string;
  readonly sessions: number;
  /** On disk, files and skills; null for more files than are looked at. */
  readonly bytes: number | null;
}

export interface RemoveCustomerOptions {
  /** Refuses a customer who has been active in the last so many milliseconds. */
  readonly inactiveMs?: number | undefined;
  /** Called when nobody can use the workspace any more; what it throws keeps the customer. */
  readonly before?: (() => Promise<void>) | undefined;
}

interface Places {
  readonly workspaces: WorkspaceStore;
  /** What belongs to upstream servers. */
  readonly folder: string;
}

const MAX_MEASURED = 1_000_000;

export async function inactiveCustomers(
  workspaces: WorkspaceStore,
  inactiveMs: number,
): Promise<readonly InactiveCustomer[]> {
  const found: InactiveCustomer[] = [];
  for (const customer of await workspaces.list()) {
    const workspace = await workspaces.find(customer);
    const at = workspace === undefined ? new Date() : await lastActivity(workspace.home);
    if (workspace === undefined || Date.now() - at.getTime() < inactiveMs) continue;
    const budget = { entries: MAX_MEASURED };
    const sizes = [await measureTree(workspace.filesPath, budget), await measureTree(workspace.skillsPath, budget)];
    const logs = (await workspace.home.list('sessions')).entries.filter(({ name }) => name.endsWith(LOG_SUFFIX));
    const bytes = sizes.some((size) => size === undefined)
      ? null
      : sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
    found.push({ customer, lastActiveAt: at.toISOString(), sessions: logs.length, bytes });
  }
  return found;
}

export async function removeCustomer(
  customer: CustomerId,
  { inactiveMs, before, workspaces, folder }: RemoveCustomerOptions & Places,
): Promise<void> {
  const workspace = await workspaces.find(customer);
  if (workspace === undefined) throw new WorkcellError('not_found', `There is no customer "${customer}"`);
  await using _lock = await workspace.tenure.take();
  if (inactiveMs !== undefined && Date.now() - (await lastActivity(workspace.home)).getTime() < inactiveMs)
    throw new WorkcellError('invalid_state', `Customer "${customer}" has been active meanwhile`);
  await before?.();
  // What could act for the customer goes first, what can be found by its id last: a removal that is cut off can be repeated.
  await removeCredentials(new CredentialStore({ folder }), customer);
  await rm(join(folder, 'customers', customer), { recursive: true, force: true });
  const logs = join(folder, 'logs');
  for (const name of await namesIn(logs))
    if (name.includes(`@${customer}.log`)) await rm(join(logs, name), { force: true });
  await workspaces.remove(customer);
}

async function removeCredentials(store: CredentialStore, customer: CustomerId): Promise<void> {
  for (const { key, customer: owner } of await store.list())
    if (owner === customer) await store.remove({ customer }, key);
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}
