import { SkillShelf } from '../catalog/skill-shelf.ts';
import { SkillStore } from '../catalog/skill-store.ts';
import { toWorkcellError, WorkcellError } from '../core/errors.ts';
import type { ExecutionResult } from '../core/execution.ts';
import {
  type CustomerId,
  newSessionId,
  parseCustomerId,
  parseExecutionId,
  parseSessionId,
  type SessionId,
} from '../core/ids.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import type { Retriever } from '../selector/retriever.ts';
import type { UsageMemory } from '../selector/usage-memory.ts';
import { findExecution, type RecordedExecution } from '../sessions/find-execution.ts';
import { SessionStore } from '../sessions/session-store.ts';
import { type SessionView, type TaskView, viewSession } from '../sessions/session-view.ts';
import type { Workspace, WorkspaceStore } from '../workspaces/workspace-store.ts';
import { callTool, type ToolCallAnswer, type ToolCallRequest } from './call-tool.ts';
import { CustomerFiles } from './customer-files.ts';
import { CustomerUsage } from './customer-usage.ts';
import { type ExecuteRequest, type ExecutionContext, execute } from './execute.ts';
import { searchTools, type ToolSearchOptions, type ToolSearchResult } from './search-tools.ts';
import { servedTools } from './served-tools.ts';
import { Skills } from './skills.ts';

/** What all customers share. */
export interface CustomerContext extends Omit<ExecutionContext, 'running' | 'skills' | 'history'> {
  readonly sharedSkills: SkillStore;
  readonly onToolsChanged: (listener: () => void) => () => void;
  /** Throws `quota_exceeded` when a customer may not write so many bytes more; asked often. Default: it may. */
  readonly admitBytes?: ((customer: CustomerId, bytes: number) => Promise<void>) | undefined;
  /** Told why what tools were used for could not be read or written: nothing fails for that. */
  readonly onUsageProblem: (customer: CustomerId, error: WorkcellError) => void;
}

/** A session is opened anew for each call, and read then. */
const CALLS_PER_SESSION = 200;

interface Opened {
  readonly workspace: Workspace;
  readonly sessions: SessionStore;
  readonly skills: SkillStore;
  readonly usage: CustomerUsage;
}

/** One tenant: its programs, its files, its sessions. */
export class Customer {
  readonly id: CustomerId;
  /** Its own and those that all share; what it saves and removes is its own. */
  readonly skills: Skills;
  /** What is in its workspace, as programs see it at `/workspace`. */
  readonly files: CustomerFiles;
  readonly #workspaces: WorkspaceStore;
  readonly #context: () => CustomerContext;
  readonly #running = new Set<string>();
  readonly #inFlight = new Set<Promise<unknown>>();
  #opened: Promise<Opened> | undefined;
  /** Where calls without a program are recorded: one that no other process writes to. */
  #callSession = newSessionId();
  #calls = 0;

  /** Throws `invalid_argument` for an id that is none. */
  constructor(id: string, workspaces: WorkspaceStore, context: () => CustomerContext) {
    this.id = parseCustomerId(id);
    this.#workspaces = workspaces;
    this.#context = context;
    this.skills = new Skills({
      shelf: () => this.#shelf(),
      scope: 'own',
      tools: () => this.#context().catalog.all(),
      recorded: ({ execution }) => this.recordedExecution(execution),
    });
    this.files = new CustomerFiles({
      open: () => this.#share(),
      find: async () => (await this.#find())?.workspace,
      admit: async (bytes) => this.#context().admitBytes?.(this.id, bytes),
      archiveLimits: () => {
        const { workspace } = this.#context().config;
        return { bytes: workspace.maxArchiveBytes, entries: workspace.maxArchiveFiles };
      },
    });
  }

  /** Runs a program. Whatever it does is in the result; rejects when something under it fails, or nothing can be run. */
  execute(request: ExecuteRequest): Promise<ExecutionResult> {
    return this.#track(this.#execute(request));
  }

  /** Calls one tool, without a program and a sandbox; it is in the session of such calls. Throws `not_found`, `forbidden`. */
  callTool(request: ToolCallRequest): Promise<ToolCallAnswer> {
    return this.#track(this.#callTool(request));
  }

  /** The tools that it may call, in the same order each time. */
  listTools(): readonly ToolDescriptor[] {
    return this.#context().catalog.list();
  }

  /** Calls back when its tools have changed, until what is returned is called. */
  onToolsChanged(listener: () => void): () => void {
    return this.#context().onToolsChanged(listener);
  }

  /** Resolves when no execution is under way any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  /** Whether it has anything yet. */
  async exists(): Promise<boolean> {
    return (await this.#find()) !== undefined;
  }

  /** The files; created on first use. */
  async workspace(): Promise<Workspace> {
    return (await this.#open()).workspace;
  }

  async listSessions(): Promise<readonly SessionId[]> {
    return (await this.#find())?.sessions.list() ?? [];
  }

  /** What happened in a session, for people and programs. Throws `not_found`. */
  async session(id: string): Promise<SessionView> {
    const sessionId = parseSessionId(id);
    const found = await this.#find();
    const history = await found?.sessions.find(sessionId);
    if (found === undefined || history === undefined) {
      const message = `Customer "${this.id}" has no session "${sessionId}"; see \`workcell session list\``;
      throw new WorkcellError('not_found', message);
    }
    const events = await Array.fromAsync(history);
    const stateFiles = await found.workspace.files.list('state').then(
      ({ entries }) => entries.map(({ name }) => `state/${name}`),
      () => [],
    );
    return viewSession({ sessionId, customer: this.id, events, running: this.#running, stateFiles });
  }

  /** One execution as its session shows it. Throws `not_found`. */
  async execution(id: string): Promise<{ readonly session: SessionId; readonly task: TaskView }> {
    const { session } = await this.recordedExecution(id);
    const task = (await this.session(session)).tasks.find(({ task_id }) => task_id === id);
    if (task === undefined) throw new WorkcellError('not_found', `Session "${session}" has lost the execution "${id}"`);
    return { session, task };
  }

  /** What its sessions tell of one execution. Throws `not_found`. */
  async recordedExecution(id: string): Promise<RecordedExecution> {
    const executionId = parseExecutionId(id);
    const found = await this.#find();
    if (found !== undefined) return await findExecution(found.sessions, executionId);
    throw new WorkcellError('not_found', `There is no customer "${this.id}" with the execution "${executionId}"`);
  }

  /** As `Workcell.searchTools`, and by what tools were used for by this customer. */
  async searchTools(queries: string | readonly string[], options: ToolSearchOptions = {}): Promise<ToolSearchResult> {
    const context = this.#context();
    const usage = (await this.#find())?.usage;
    return searchTools([queries].flat(), options, { ...context, history: await this.#history(usage, context) });
  }

  /** What is remembered of the tasks that tools have served, redacted. Throws `storage_failed` when it cannot be read. */
  async toolUsage(): Promise<UsageMemory> {
    return (await (await this.#find())?.usage.memory()) ?? [];
  }

  /** Forgets which tools have served which tasks. */
  async clearToolUsage(): Promise<void> {
    await (await this.#find())?.usage.clear();
  }

  async #shelf(): Promise<SkillShelf> {
    const { sharedSkills } = this.#context();
    const found = await this.#find();
    return new SkillShelf(found === undefined ? [sharedSkills] : [found.skills, sharedSkills]);
  }

  async #execute(request: ExecuteRequest): Promise<ExecutionResult> {
    const { workspace, sessions, skills, usage } = await this.#open();
    await using session =
      request.session === undefined
        ? await sessions.create()
        : await sessions.openOrCreate(parseSessionId(request.session));
    const context = this.#context();
    const result = await execute(request, workspace, session, {
      ...context,
      running: this.#running,
      skills: new SkillShelf([skills, context.sharedSkills]),
      history: await this.#history(usage, context),
    });
    await this.#remember(usage, request, result, context);
    return result;
  }

  async #callTool(request: ToolCallRequest): Promise<ToolCallAnswer> {
    const { workspace, sessions } = await this.#open();
    if (this.#calls % CALLS_PER_SESSION === 0) this.#callSession = newSessionId();
    this.#calls += 1;
    await using session = await sessions.openOrCreate(this.#callSession);
    return await callTool(request, workspace, session, { ...this.#context(), running: this.#running });
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const settled: Promise<unknown> = work.catch(() => undefined).finally(() => this.#inFlight.delete(settled));
    this.#inFlight.add(settled);
    return work;
  }

  async #history(usage: CustomerUsage | undefined, context: CustomerContext): Promise<Retriever | undefined> {
    if (!context.config.selector.usage) return undefined;
    try {
      return await usage?.history(context.catalog.list());
    } catch (error) {
      context.onUsageProblem(this.id, toWorkcellError(error));
      return undefined;
    }
  }

  async #remember(
    usage: CustomerUsage,
    { task }: ExecuteRequest,
    result: ExecutionResult,
    context: CustomerContext,
  ): Promise<void> {
    if (!context.config.selector.usage || task === undefined) return;
    try {
      await usage.record({ task, tools: servedTools(result, context.catalog), at: new Date() });
    } catch (error) {
      context.onUsageProblem(this.id, toWorkcellError(error));
    }
  }

  async #share(): Promise<Workspace & AsyncDisposable> {
    const { workspace } = await this.#open();
    const share = await workspace.tenure.share();
    return { ...workspace, [Symbol.asyncDispose]: async () => share[Symbol.asyncDispose]() };
  }

  /** Looking at a customer must not make one. */
  async #find(): Promise<Opened | undefined> {
    return this.#opened !== undefined || (await this.#workspaces.find(this.id)) !== undefined
      ? await this.#open()
      : undefined;
  }

  #open(): Promise<Opened> {
    this.#opened ??= this.#workspaces.open(this.id).then((workspace) => ({
      workspace,
      sessions: new SessionStore(workspace),
      skills: new SkillStore(workspace.skills, 'own'),
      usage: new CustomerUsage(workspace.usagePath),
    }));
    this.#opened.catch(() => {
      this.#opened = undefined;
    });
    return this.#opened;
  }
}
