import { SkillShelf } from '../catalog/skill-shelf.ts';
import type { ApprovalDecision } from '../core/approval.ts';
import { WorkcellError } from '../core/errors.ts';
import type { ExecutionResult, ExecutionSummary, HistoryEvent, PendingApproval } from '../core/execution.ts';
import {
  type CustomerId,
  type ExecutionId,
  parseCustomerId,
  parseExecutionId,
  parseSessionId,
  type SessionId,
} from '../core/ids.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import type { UsageMemory } from '../selector/usage-memory.ts';
import type { StoredEvent } from '../sessions/events.ts';
import type { ExecutionHistory } from '../sessions/execution-history.ts';
import type { PruneReport } from '../sessions/prune-sessions.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import type { SessionPage } from '../sessions/session-summary.ts';
import type { SessionView } from '../sessions/session-view.ts';
import type { IdleMap } from '../util/idle-map.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import type { WorkspaceShare } from '../workspaces/workspace-tenure.ts';
import { callTool, type ToolCallAnswer, type ToolCallRequest } from './call-tool.ts';
import type { DecidedApproval } from './customer-approvals.ts';
import type { CustomerContext } from './customer-context.ts';
import { CustomerFiles } from './customer-files.ts';
import type { QuotaUsage } from './customer-quota.ts';
import * as ofSessions from './customer-sessions.ts';
import { CustomerSnapshots } from './customer-snapshots.ts';
import type { CustomerState } from './customer-state.ts';
import { execute } from './execute.ts';
import type { ExecuteRequest } from './execute-request.ts';
import type { Begun, StartedExecution } from './executions.ts';
import type { ExportSessionOptions } from './export-session.ts';
import type { ImportedSession, ImportSessionOptions } from './import-session.ts';
import { type ExecutionList, type ListExecutionsOptions, listExecutions } from './list-executions.ts';
import type { ResumeOptions } from './resume.ts';
import { resumeForCustomer, runForCustomer } from './run-for-customer.ts';
import { searchTools, type ToolSearchOptions, type ToolSearchResult } from './search-tools.ts';
import {
  closeSession,
  type NewCheckpoint,
  type ReopenedSession,
  reopenSession,
  setCheckpoint,
} from './session-changes.ts';
import { Skills } from './skills.ts';
import { findHistory } from './tool-history.ts';
import type { WatchOptions } from './watch-execution.ts';

/** A session that goes on. */
export interface ResumedSession extends ReopenedSession {
  readonly sessionId: SessionId;
  /** Those that run again. */
  readonly resumed: readonly StartedExecution[];
}

export type CustomerStates = IdleMap<CustomerId, CustomerState>;

/** One tenant: its programs, its files, its sessions. Holds nothing itself: it may be kept, and there may be several of one. */
export class Customer {
  readonly id: CustomerId;
  /** Its own and those that all share; what it saves and removes is its own. */
  readonly skills: Skills;
  /** What is in its workspace, as programs see it at `/workspace`. */
  readonly files: CustomerFiles;
  readonly snapshots: CustomerSnapshots;
  readonly #states: CustomerStates;
  readonly #context: () => CustomerContext;

  /** Throws `invalid_argument` for an id that is none. */
  constructor(id: string, states: CustomerStates, context: () => CustomerContext) {
    this.id = parseCustomerId(id);
    this.#states = states;
    this.#context = context;
    this.skills = new Skills({
      shelf: () => this.#shelf(),
      scope: 'own',
      tools: () => this.#context().catalog.all(),
      recorded: ({ execution }) => this.recordedExecution(execution),
    });
    this.files = new CustomerFiles({
      open: () => this.#share(),
      find: async () => (await this.#use((state) => state.find()))?.workspace,
      admit: async (bytes) => {
        const { workspace } = await this.#use((state) => state.open());
        await this.#context().quotas.admitBytes(workspace, bytes);
      },
      archiveLimits: () => {
        const { workspace } = this.#context().config;
        return { bytes: workspace.maxArchiveBytes, entries: workspace.maxArchiveFiles };
      },
    });
    this.snapshots = new CustomerSnapshots({
      open: () => this.workspace(),
      release: async () => (await this.#context().startedExecutor())?.release(this.id),
      limits: () => ({ maxSnapshots: this.#context().config.workspace.maxSnapshots }),
    });
  }

  /**
   * Runs a program. Whatever it does is in the result; rejects when something under it fails, or nothing can be run. With the
   * `executionId` of a known execution, the result is that of it; the signal then ends the waiting alone, with `cancelled`.
   */
  async execute(request: ExecuteRequest): Promise<ExecutionResult> {
    return await this.#use(async (state) =>
      state.executions.outcome(await this.#begin(state, request), request.signal),
    );
  }

  /**
   * Runs a program on its own; resolves when its start is on disk. Throws as {@link execute} does, and `already_exists` when the
   * `executionId` is that of another request.
   */
  async start(request: ExecuteRequest): Promise<StartedExecution> {
    return await this.#use(async (state) => {
      const started = await state.executions.started(await this.#begin(state, request));
      return { ...started, result: () => this.#use(() => started.result()) };
    });
  }

  /**
   * What happens in an execution, as it is on disk: the same events with the same `seq` whenever it is asked, also by another process
   * and after a crash. Iterating throws `not_found`, and `history_gone` when its session was removed.
   */
  async *watch(id: string, options: WatchOptions = {}): AsyncGenerator<HistoryEvent> {
    using lease = this.#states.lease(this.id);
    yield* lease.value.executions.watch(parseExecutionId(id), options);
  }

  /** Where an execution stands. Throws `not_found`, and `history_gone` when its session was removed. */
  async executionSummary(id: string): Promise<ExecutionSummary> {
    return await this.#use(({ executions }) => executions.summary(parseExecutionId(id)));
  }

  /**
   * Ends an execution with `killed`, unless it has an outcome; resolves when that is on disk. Throws `not_found`, and `busy` when
   * another process runs it.
   */
  async cancel(id: string): Promise<void> {
    await this.#use(({ executions }) => executions.cancel(parseExecutionId(id)));
  }

  /**
   * Runs an execution that was cut off again, under the same id; resolves when that is on disk. With `replay`, calls that had
   * returned are answered from its log, so that none takes effect twice. Throws `not_found`, `invalid_state` for one that runs, has
   * an outcome or cannot be prepared any more, and `busy` when another process has its session open.
   */
  async resumeExecution(id: string, options: ResumeOptions): Promise<StartedExecution> {
    return await this.#use((state) => this.#resume(state, parseExecutionId(id), options));
  }

  /**
   * Opens a session for more, also one that was closed, and tells what in it was cut off; with `replay`, runs each of those
   * executions again. Throws `not_found`, `busy` when another process has it open, and as {@link resumeExecution} does.
   */
  async resumeSession(id: string, { replay = false }: Partial<ResumeOptions> = {}): Promise<ResumedSession> {
    return await this.#use(async (state) => {
      const sessionId = parseSessionId(id);
      await using session = await this.#openSession(state, sessionId);
      const reopened = await reopenSession(session, state.executions.running, this.id);
      const ids = replay ? reopened.interrupted : [];
      const resumed = await Promise.all(ids.map((each) => this.#resume(state, each, { replay })));
      return { sessionId, ...reopened, resumed };
    });
  }

  /** Sets what programs of the session find as its checkpoint. Throws `not_found`, `invalid_argument`, and `busy`. */
  async setCheckpoint(id: string, checkpoint: NewCheckpoint): Promise<void> {
    await this.#use(async (state) => {
      await using session = await this.#openSession(state, parseSessionId(id));
      await setCheckpoint(session, checkpoint);
    });
  }

  /** Ends a session until it is resumed. Throws `not_found`, `busy`, and `invalid_state` while programs run in it. */
  async closeSession(id: string): Promise<void> {
    await this.#use(async (state) => {
      await using session = await this.#openSession(state, parseSessionId(id));
      await closeSession(session, state.executions.running);
    });
  }

  /** Calls one tool, without a program and a sandbox; it is in the session of such calls. Throws `not_found`, `forbidden`. */
  async callTool(request: ToolCallRequest): Promise<ToolCallAnswer> {
    return await this.#use(async (state) => {
      const { workspace, sessions, approvals } = await state.open();
      const context = this.#context();
      const answer = Promise.withResolvers<ToolCallAnswer>();
      const { outcome } = state.executions.run({ tools: [request.tool], signal: request.signal }, async (live) => {
        await using _admission = await context.quotas.admitCall(workspace);
        await using session = await sessions.openOrCreate(state.callSession());
        return await callTool(live, request, workspace, session, { ...context, approvals, onAnswer: answer.resolve });
      });
      await outcome;
      return await answer.promise;
    });
  }

  /** Whether this process runs the program of an execution. */
  async isRunning(execution: string): Promise<boolean> {
    return await this.#use(async ({ executions }) => executions.running.has(execution));
  }

  /** The calls of its programs that wait to be approved, oldest first. */
  async listApprovals(): Promise<readonly PendingApproval[]> {
    return await this.#use(async (state) => (await state.find())?.approvals.list() ?? []);
  }

  /** Approves or rejects a call that waits, and sees to it that its program goes on, as `CustomerApprovals.decide` describes. */
  async decideApproval(id: string, decision: ApprovalDecision): Promise<DecidedApproval> {
    return await this.#use(async (state) => {
      const found = await state.find();
      if (found !== undefined) return await found.approvals.decide(id, decision);
      throw new WorkcellError('not_found', `Customer "${this.id}" has no approval ${JSON.stringify(id.slice(0, 100))}`);
    });
  }

  /** Rejects what nobody has decided on in time, and goes on where a process died in the middle; of one execution, or of all. */
  async sweepApprovals(execution?: string): Promise<void> {
    const id = execution === undefined ? undefined : parseExecutionId(execution);
    await this.#use(async (state) => (await state.find())?.approvals.sweep(id));
  }

  /** Resolves with what an execution waits for, as soon as it does nothing but wait. Rejects when the signal fires. */
  async whenPaused(execution: string, signal: AbortSignal): Promise<readonly PendingApproval[]> {
    const id = parseExecutionId(execution);
    return await this.#use(async (state) => (await state.open()).approvals.whenPaused(id, signal));
  }

  /** The tools that it may call, in the same order each time. */
  listTools(): readonly ToolDescriptor[] {
    return this.#context().catalog.list();
  }

  /** Calls back when its tools have changed, until what is returned is called. */
  onToolsChanged(listener: () => void): () => void {
    return this.#context().onToolsChanged(listener);
  }

  /** Whether it has anything yet. */
  async exists(): Promise<boolean> {
    return (await this.#use((state) => state.find())) !== undefined;
  }

  /** The files; created on first use. */
  async workspace(): Promise<Workspace> {
    return await this.#use(async (state) => (await state.open()).workspace);
  }

  async listSessions(): Promise<readonly SessionId[]> {
    return await this.#use(async (state) => (await state.find())?.sessions.list() ?? []);
  }

  /** The sessions with their states and sizes, the latest first. */
  async describeSessions(page: ofSessions.PageOptions = {}): Promise<SessionPage> {
    return await this.#use((state) => ofSessions.describeSessions(state, page));
  }

  /** What happened in a session, for people and programs; with a `limit`, its last tasks, or those before one. Throws `not_found`. */
  async session(id: string, page: ofSessions.PageOptions = {}): Promise<SessionView> {
    return await this.#use((state) => ofSessions.showSession(state, this.id, parseSessionId(id), page));
  }

  /**
   * Deletes a session for good. Its executions stay known: none of them is ever run again, and asking for one throws
   * `history_gone`. Throws `not_found`, and `busy` while anybody has it open.
   */
  async deleteSession(id: string): Promise<void> {
    await this.#use((state) => ofSessions.deleteSession(state, this.id, parseSessionId(id)));
  }

  /** A session as one file, with the workspace's files and skills. Throws `not_found`, and as `exportSession` describes. */
  async exportSession(id: string, options: ExportSessionOptions = {}): Promise<AsyncIterable<Uint8Array>> {
    return await this.#use((state) => ofSessions.exportFrom(state, this.id, parseSessionId(id), options));
  }

  /** Makes a session of an archive of {@link exportSession}. Throws as `importSession` describes. */
  async importSession(
    archive: AsyncIterable<Uint8Array>,
    options: ImportSessionOptions = {},
  ): Promise<ImportedSession> {
    await using workspace = await this.#share();
    return await this.#use((state) => ofSessions.importInto(state, workspace, this.#context(), archive, options));
  }

  /** Deletes the sessions that are older than `sessions.retention` lets them get. */
  async pruneSessions(options: { readonly dryRun?: boolean } = {}): Promise<PruneReport> {
    const { retentionMs } = this.#context().config.sessions;
    return await this.#use((state) => ofSessions.pruneCustomer(state, { retentionMs, ...options }));
  }

  /** Makes a session in which nothing has happened. Throws `already_exists`. */
  async createSession(id?: string): Promise<SessionId> {
    return await this.#use((state) => ofSessions.createSession(state, id === undefined ? id : parseSessionId(id)));
  }

  /** All that is recorded in a session after an event; throws `not_found`. Iterating throws `storage_failed`. */
  async readSession(id: string, { after = 0 }: { readonly after?: number } = {}): Promise<AsyncIterable<StoredEvent>> {
    return await this.#use((state) => ofSessions.readLog(state, this.id, parseSessionId(id), after));
  }

  /** A page of its executions, the latest first. Throws `not_found` when `before` is none of its executions. */
  async listExecutions(page: ListExecutionsOptions): Promise<ExecutionList> {
    return await this.#use((state) => listExecutions(state, page));
  }

  /** What its sessions tell of one execution. Throws as {@link executionSummary} does. */
  async recordedExecution(id: string): Promise<ExecutionHistory> {
    return await this.#use(({ executions }) => executions.recorded(parseExecutionId(id)));
  }

  /** As `Workcell.searchTools`, and by what tools were used for by this customer. */
  async searchTools(queries: string | readonly string[], options: ToolSearchOptions = {}): Promise<ToolSearchResult> {
    const context = this.#context();
    const history = await this.#use(async (state) => findHistory((await state.find())?.usage, context, this.id));
    return searchTools([queries].flat(), options, { ...context, history });
  }

  /** What is remembered of the tasks that tools have served, redacted. Throws `storage_failed` when it cannot be read. */
  async toolUsage(): Promise<UsageMemory> {
    return await this.#use(async (state) => (await (await state.find())?.usage.memory()) ?? []);
  }

  /** Forgets which tools have served which tasks. */
  async clearToolUsage(): Promise<void> {
    await this.#use(async (state) => (await state.find())?.usage.clear());
  }

  /** What it uses of its quotas, and what is left. */
  async usage(): Promise<QuotaUsage> {
    const { workspace } = await this.#use((state) => state.open());
    return await this.#context().quotas.usage(workspace);
  }

  async #shelf(): Promise<SkillShelf> {
    const { sharedSkills } = this.#context();
    const found = await this.#use((state) => state.find());
    return new SkillShelf(found === undefined ? [sharedSkills] : [found.skills, sharedSkills]);
  }

  #begin(state: CustomerState, request: ExecuteRequest): Promise<Begun> {
    return state.executions.begin(request, async (live) => {
      using _lease = this.#states.lease(this.id);
      return await runForCustomer(live, request, await state.open(), this.#context());
    });
  }

  async #resume(state: CustomerState, id: ExecutionId, options: ResumeOptions): Promise<StartedExecution> {
    const live = await state.executions.resume(id, async (resumed, session, recorded) => {
      using _lease = this.#states.lease(this.id);
      return await resumeForCustomer(resumed, { options, session, recorded }, await state.open(), this.#context());
    });
    const started = await state.executions.started({ isNew: false, live });
    return { ...started, result: () => this.#use(() => started.result()) };
  }

  /** Looking for a session must not make a customer. */
  async #openSession(state: CustomerState, id: SessionId): Promise<SessionLog> {
    const found = await state.find();
    if (found !== undefined) return await found.sessions.open(id);
    throw new WorkcellError('not_found', `Customer "${this.id}" has no session "${id}"`);
  }

  async #share(): Promise<Workspace & WorkspaceShare> {
    const lease = this.#states.lease(this.id);
    try {
      const { workspace } = await lease.value.open();
      const share = await workspace.tenure.share();
      const letGo = async () => {
        await share[Symbol.asyncDispose]();
        lease[Symbol.dispose]();
      };
      return { ...workspace, assertHeld: () => share.assertHeld(), [Symbol.asyncDispose]: letGo };
    } catch (error) {
      lease[Symbol.dispose]();
      throw error;
    }
  }

  /** Nobody drops what is kept of the customer meanwhile. */
  async #use<T>(work: (state: CustomerState) => Promise<T>): Promise<T> {
    using lease = this.#states.lease(this.id);
    return await work(lease.value);
  }
}
