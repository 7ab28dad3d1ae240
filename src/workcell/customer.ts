import { SkillShelf } from '../catalog/skill-shelf.ts';
import { SkillStore } from '../catalog/skill-store.ts';
import type { ApprovalDecision } from '../core/approval.ts';
import { toWorkcellError, WorkcellError } from '../core/errors.ts';
import type { ExecutionResult, PendingApproval } from '../core/execution.ts';
import { type CustomerId, parseCustomerId, parseExecutionId, parseSessionId, type SessionId } from '../core/ids.ts';
import type { Retriever } from '../selector/retriever.ts';
import type { UsageMemory } from '../selector/usage-memory.ts';
import { ApprovalFolder } from '../sessions/approval-folder.ts';
import { findExecution, type RecordedExecution } from '../sessions/find-execution.ts';
import { SessionStore } from '../sessions/session-store.ts';
import { type SessionView, type TaskView, viewSession } from '../sessions/session-view.ts';
import type { Workspace, WorkspaceStore } from '../workspaces/workspace-store.ts';
import { CustomerApprovals, type DecidedApproval } from './customer-approvals.ts';
import { CustomerUsage } from './customer-usage.ts';
import { type ExecuteRequest, type ExecutionContext, execute } from './execute.ts';
import { searchTools, type ToolSearchOptions, type ToolSearchResult } from './search-tools.ts';
import { servedTools } from './served-tools.ts';
import { Skills } from './skills.ts';

/** What all customers share. */
export interface CustomerContext extends Omit<ExecutionContext, 'running' | 'skills' | 'history' | 'approvals'> {
  readonly sharedSkills: SkillStore;
  /** Told why what tools were used for could not be read or written: nothing fails for that. */
  readonly onUsageProblem: (customer: CustomerId, error: WorkcellError) => void;
  /** Told why a decision on a call could not be carried out, or a program not run again: the next sweep tries again. */
  readonly onApprovalProblem: (customer: CustomerId, error: WorkcellError) => void;
}

interface Opened {
  readonly workspace: Workspace;
  readonly sessions: SessionStore;
  readonly skills: SkillStore;
  readonly usage: CustomerUsage;
  readonly approvals: CustomerApprovals;
}

/** One tenant: its programs, its files, its sessions. */
export class Customer {
  readonly id: CustomerId;
  /** Its own and those that all share; what it saves and removes is its own. */
  readonly skills: Skills;
  readonly #workspaces: WorkspaceStore;
  readonly #context: () => CustomerContext;
  readonly #running = new Set<string>();
  readonly #inFlight = new Set<Promise<unknown>>();
  #opened: Promise<Opened> | undefined;

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
  }

  /** Runs a program. Whatever it does is in the result; rejects when something under it fails, or nothing can be run. */
  execute(request: ExecuteRequest): Promise<ExecutionResult> {
    const execution = this.#execute(request);
    const settled: Promise<unknown> = execution.catch(() => undefined).finally(() => this.#inFlight.delete(settled));
    this.#inFlight.add(settled);
    return execution;
  }

  /** Resolves when no execution is under way any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#inFlight);
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

  /** The calls that wait to be approved, oldest first. */
  async listApprovals(): Promise<readonly PendingApproval[]> {
    return (await (await this.#find())?.approvals.list()) ?? [];
  }

  /**
   * Approves or rejects a call that waits, and sees to it that its program goes on; resolves when the decision is on disk. The
   * same decision again changes nothing. Throws `not_found`, and `invalid_state` when it was decided otherwise, or the call
   * waits no longer.
   */
  async decideApproval(id: string, decision: ApprovalDecision): Promise<DecidedApproval> {
    const found = await this.#find();
    if (found !== undefined) return await found.approvals.decide(id, decision);
    throw new WorkcellError('not_found', `Customer "${this.id}" has no approval ${JSON.stringify(id.slice(0, 100))}`);
  }

  /**
   * Rejects what nobody has decided on in time, and goes on where a process died in the middle of it; of one execution, or of
   * all.
   */
  async sweepApprovals(execution?: string): Promise<void> {
    const found = await this.#find();
    await found?.approvals.sweep(execution === undefined ? undefined : parseExecutionId(execution));
  }

  /** Resolves with what an execution waits for, as soon as it does nothing but wait. Rejects when the signal fires. */
  async whenPaused(execution: string, signal: AbortSignal): Promise<readonly PendingApproval[]> {
    const { approvals } = await this.#open();
    return await approvals.whenPaused(parseExecutionId(execution), signal);
  }

  async #shelf(): Promise<SkillShelf> {
    const { sharedSkills } = this.#context();
    const found = await this.#find();
    return new SkillShelf(found === undefined ? [sharedSkills] : [found.skills, sharedSkills]);
  }

  async #execute(request: ExecuteRequest): Promise<ExecutionResult> {
    const { workspace, sessions, skills, usage, approvals } = await this.#open();
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
      approvals,
    });
    await this.#remember(usage, request, result, context);
    return result;
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

  #approvalsIn(workspace: Workspace, sessions: SessionStore): CustomerApprovals {
    return new CustomerApprovals({
      folder: new ApprovalFolder(workspace.approvalsPath),
      sessions,
      config: this.#context().config,
      findSession: async (execution) => (await findExecution(sessions, execution)).session,
      resume: async () => {
        throw new WorkcellError('unsupported', 'A program cannot be run again');
      },
      onProblem: (error) => this.#context().onApprovalProblem(this.id, toWorkcellError(error)),
    });
  }

  /** Looking at a customer must not make one. */
  async #find(): Promise<Opened | undefined> {
    return this.#opened !== undefined || (await this.#workspaces.find(this.id)) !== undefined
      ? await this.#open()
      : undefined;
  }

  #open(): Promise<Opened> {
    this.#opened ??= this.#workspaces.open(this.id).then((workspace) => {
      const sessions = new SessionStore(workspace);
      return {
        workspace,
        sessions,
        skills: new SkillStore(workspace.skills, 'own'),
        usage: new CustomerUsage(workspace.usagePath),
        approvals: this.#approvalsIn(workspace, sessions),
      };
    });
    this.#opened.catch(() => {
      this.#opened = undefined;
    });
    return this.#opened;
  }
}
