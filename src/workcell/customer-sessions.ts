import type { Config } from '../config/config.ts';
import { WorkcellError } from '../core/errors.ts';
import { type CustomerId, parseExecutionId, type SessionId } from '../core/ids.ts';
import type { StoredEvent } from '../sessions/events.ts';
import { type PruneReport, pruneSessions } from '../sessions/prune-sessions.ts';
import { readSessionView } from '../sessions/read-session-view.ts';
import type { SessionReader } from '../sessions/session-reader.ts';
import { type SessionPage, summarizeSessions } from '../sessions/session-summary.ts';
import type { SessionView } from '../sessions/session-view.ts';
import type { GatedFiles } from '../util/gated-files.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import type { CustomerFolder, CustomerState } from './customer-state.ts';
import { type ExportSessionOptions, exportSession } from './export-session.ts';
import { type ImportedSession, type ImportSessionOptions, importSession } from './import-session.ts';
import type { CustomerQuotas } from './quotas.ts';
import { readSession } from './read-session.ts';

export interface PageOptions {
  /** Default: all. */
  readonly limit?: number | undefined;
  /** The last one of the page before. */
  readonly before?: string | undefined;
}

export interface PruneSessionsOptions {
  /** Sessions that were not written to for so long are deleted; undefined deletes none. */
  readonly retentionMs: number | undefined;
  /** Tells what would be deleted, and deletes nothing. */
  readonly dryRun?: boolean | undefined;
}

export const NOTHING_PRUNED: PruneReport = { deleted: [], kept: [] };

/** A page of a customer's sessions, each with what can be told without reading it. */
export async function describeSessions(state: CustomerState, { limit, before }: PageOptions): Promise<SessionPage> {
  const found = await state.find();
  if (found === undefined) return { sessions: [], next: null };
  return await summarizeSessions(found.sessions, { limit: limitOf(limit), before });
}

/** What happened in a session, with a page of its tasks: the last ones, or those before one. Throws `not_found`. */
export async function showSession(
  state: CustomerState,
  customer: CustomerId,
  id: SessionId,
  { limit, before }: PageOptions,
): Promise<SessionView> {
  const { folder, reader } = await openReader(state, customer, id);
  const page = { limit: limitOf(limit), before: before === undefined ? undefined : parseExecutionId(before) };
  const stateFiles = await stateFilesOf(folder.workspace.files);
  return await readSessionView(reader, { customer, page, running: state.executions.running, stateFiles });
}

/** Deletes a session for good. Throws `not_found`, and `busy` while anybody has it open. */
export async function deleteSession(state: CustomerState, customer: CustomerId, id: SessionId): Promise<void> {
  const found = await state.find();
  if (found === undefined) throw noSession(customer, id);
  await found.sessions.remove(id);
}

/** Deletes what is older than it may get, but for sessions in which somebody has to decide. */
export async function pruneCustomer(
  state: CustomerState,
  { retentionMs, dryRun }: PruneSessionsOptions,
): Promise<PruneReport> {
  const found = await state.find();
  if (found === undefined || retentionMs === undefined) return NOTHING_PRUNED;
  const waiting = await found.approvals.list();
  const needed = new Map(waiting.map(({ sessionId }) => [sessionId, 'a call in it waits to be approved']));
  return await pruneSessions(found.sessions, { before: new Date(Date.now() - retentionMs), dryRun, needed });
}

/** A session as one file. Throws `not_found`, and as {@link exportSession} does. */
export async function exportFrom(
  state: CustomerState,
  customer: CustomerId,
  id: SessionId,
  options: ExportSessionOptions,
): Promise<AsyncIterable<Uint8Array>> {
  const found = await state.find();
  const history = await found?.sessions.find(id);
  if (found === undefined || history === undefined) throw noSession(customer, id);
  return await exportSession({ customer, workspace: found.workspace, history }, options);
}

/** Makes a session of an archive, in a workspace that is held against those who want it alone. */
export async function importInto(
  state: CustomerState,
  workspace: Workspace,
  {
    quotas,
    config,
  }: { readonly quotas: Pick<CustomerQuotas, 'admitBytes'>; readonly config: Pick<Config, 'workspace'> },
  archive: AsyncIterable<Uint8Array>,
  options: ImportSessionOptions,
): Promise<ImportedSession> {
  const { sessions, approvals } = await state.open();
  const { maxArchiveBytes: bytes, maxArchiveFiles: entries } = config.workspace;
  const admit = (count: number) => quotas.admitBytes(workspace, count);
  const place = { sessions, workspace, limits: { bytes, entries }, admit };
  const imported = await importSession(archive, place, options);
  await approvals.restore(imported.sessionId);
  return imported;
}

/** Makes a session. Throws `already_exists`. */
export async function createSession(state: CustomerState, id: SessionId | undefined): Promise<SessionId> {
  const { sessions } = await state.open();
  await using session = await sessions.create(id);
  return session.id;
}

/** The events of a session after one. Throws `not_found`. */
export async function readLog(
  state: CustomerState,
  customer: CustomerId,
  id: SessionId,
  after: number,
): Promise<AsyncIterable<StoredEvent>> {
  const found = await state.find();
  const events = found === undefined ? undefined : await readSession(found.sessions, id, after);
  if (events === undefined) throw noSession(customer, id);
  return events;
}

async function openReader(
  state: CustomerState,
  customer: CustomerId,
  id: SessionId,
): Promise<{ readonly folder: CustomerFolder; readonly reader: SessionReader }> {
  const folder = await state.find();
  const reader = await folder?.sessions.findReader(id);
  if (folder === undefined || reader === undefined) throw noSession(customer, id);
  return { folder, reader };
}

function noSession(customer: CustomerId, id: SessionId): WorkcellError {
  const message = `Customer "${customer}" has no session "${id}"; see \`workcell session list\``;
  return new WorkcellError('not_found', message);
}

async function stateFilesOf(files: GatedFiles): Promise<readonly string[]> {
  return await files.list('state').then(
    ({ entries }) => entries.map(({ name }) => `state/${name}`),
    () => [],
  );
}

function limitOf(limit = Infinity): number {
  if (limit === Infinity || (Number.isInteger(limit) && limit > 0)) return limit;
  throw new WorkcellError('invalid_argument', `A page of ${limit} is none; give a whole number above 0`);
}
