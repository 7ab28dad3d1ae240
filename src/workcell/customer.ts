import { WorkcellError } from '../core/errors.ts';
import type { ExecutionResult } from '../core/execution.ts';
import { type CustomerId, parseCustomerId, parseSessionId, type SessionId } from '../core/ids.ts';
import { SessionStore } from '../sessions/session-store.ts';
import { type SessionView, viewSession } from '../sessions/session-view.ts';
import type { Workspace, WorkspaceStore } from '../workspaces/workspace-store.ts';
import { type ExecuteRequest, type ExecutionContext, execute } from './execute.ts';

/** One tenant: its programs, its files, its sessions. */
export class Customer {
  readonly id: CustomerId;
  readonly #workspaces: WorkspaceStore;
  readonly #context: () => Omit<ExecutionContext, 'running'>;
  readonly #running = new Set<string>();
  readonly #inFlight = new Set<Promise<unknown>>();
  #opened: Promise<{ workspace: Workspace; sessions: SessionStore }> | undefined;

  /** Throws `invalid_argument` for an id that is none. */
  constructor(id: string, workspaces: WorkspaceStore, context: () => Omit<ExecutionContext, 'running'>) {
    this.id = parseCustomerId(id);
    this.#workspaces = workspaces;
    this.#context = context;
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

  async #execute(request: ExecuteRequest): Promise<ExecutionResult> {
    const { workspace, sessions } = await this.#open();
    await using session =
      request.session === undefined
        ? await sessions.create()
        : await sessions.openOrCreate(parseSessionId(request.session));
    return await execute(request, workspace, session, { ...this.#context(), running: this.#running });
  }

  /** Looking at a customer must not make one. */
  async #find(): Promise<{ workspace: Workspace; sessions: SessionStore } | undefined> {
    return this.#opened !== undefined || (await this.#workspaces.find(this.id)) !== undefined
      ? await this.#open()
      : undefined;
  }

  #open(): Promise<{ workspace: Workspace; sessions: SessionStore }> {
    this.#opened ??= this.#workspaces
      .open(this.id)
      .then((workspace) => ({ workspace, sessions: new SessionStore(workspace) }));
    this.#opened.catch(() => {
      this.#opened = undefined;
    });
    return this.#opened;
  }
}
