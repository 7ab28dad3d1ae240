import { SkillStore } from '../catalog/skill-store.ts';
import { type CustomerId, newSessionId, type SessionId } from '../core/ids.ts';
import { SessionStore } from '../sessions/session-store.ts';
import type { Workspace, WorkspaceStore } from '../workspaces/workspace-store.ts';
import { CustomerUsage } from './customer-usage.ts';
import { Executions } from './executions.ts';

/** A session is opened anew for each call, and read then. */
const CALLS_PER_SESSION = 200;

/** What lies in a customer's folder. */
export interface CustomerFolder {
  readonly workspace: Workspace;
  readonly sessions: SessionStore;
  readonly skills: SkillStore;
  readonly usage: CustomerUsage;
}

/** What this process keeps of one customer; there must be no second one at the same time, since that would be two writers. */
export class CustomerState {
  readonly executions: Executions;
  readonly #id: CustomerId;
  readonly #workspaces: WorkspaceStore;
  #callSession = newSessionId();
  #calls = 0;
  #opened: Promise<CustomerFolder> | undefined;

  constructor(id: CustomerId, workspaces: WorkspaceStore) {
    this.#id = id;
    this.#workspaces = workspaces;
    this.executions = new Executions({ customer: id, sessions: async () => (await this.find())?.sessions });
  }

  /** Where the next call without a program is recorded: one that no other process writes to. */
  callSession(): SessionId {
    if (this.#calls % CALLS_PER_SESSION === 0) this.#callSession = newSessionId();
    this.#calls += 1;
    return this.#callSession;
  }

  /** Undefined when there is none: looking at a customer must not make one. */
  async find(): Promise<CustomerFolder | undefined> {
    return this.#opened !== undefined || (await this.#workspaces.find(this.#id)) !== undefined
      ? await this.open()
      : undefined;
  }

  /** Made on first use. */
  open(): Promise<CustomerFolder> {
    this.#opened ??= this.#workspaces.open(this.#id).then((workspace) => ({
      workspace,
      sessions: new SessionStore({ ...workspace, onStored: (...stored) => this.executions.stored(...stored) }),
      skills: new SkillStore(workspace.skills, 'own'),
      usage: new CustomerUsage(workspace.usagePath),
    }));
    this.#opened.catch(() => {
      this.#opened = undefined;
    });
    return this.#opened;
  }
}
