import { SkillStore } from '../catalog/skill-store.ts';
import type { SessionsConfig } from '../config/config.ts';
import { type CustomerId, newSessionId, type SessionId } from '../core/ids.ts';
import { ApprovalFolder } from '../sessions/approval-folder.ts';
import type { SessionKeys } from '../sessions/sealing.ts';
import { SessionStore } from '../sessions/session-store.ts';
import type { Workspace, WorkspaceStore } from '../workspaces/workspace-store.ts';
import { CustomerApprovals, type CustomerApprovalsOptions } from './customer-approvals.ts';
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
  readonly approvals: CustomerApprovals;
}

/** How calls of its programs wait to be approved. */
export type ApprovalSettings = Pick<CustomerApprovalsOptions, 'config' | 'resume' | 'onProblem'>;

/** What this process keeps of one customer; there must be no second one at the same time, since that would be two writers. */
export class CustomerState {
  readonly executions: Executions;
  readonly #id: CustomerId;
  readonly #workspaces: WorkspaceStore;
  readonly #approvals: ApprovalSettings;
  readonly #settings: SessionsConfig;
  #callSession = newSessionId();
  #calls = 0;
  #opened: Promise<CustomerFolder> | undefined;

  constructor(id: CustomerId, workspaces: WorkspaceStore, settings: SessionsConfig, approvals: ApprovalSettings) {
    this.#id = id;
    this.#settings = settings;
    this.#workspaces = workspaces;
    this.#approvals = approvals;
    this.executions = new Executions({
      customer: id,
      sessions: async () => (await this.find())?.sessions,
      claim: async (...claim) => (await this.open()).sessions.claim(...claim),
    });
  }

  /** Where the next call without a program is recorded: one that no other process writes to. */
  callSession(): SessionId {
    if (this.#calls % CALLS_PER_SESSION === 0) this.#callSession = newSessionId();
    this.#calls += 1;
    return this.#callSession;
  }

  /** Undefined when there is none: looking at a customer must not make one. */
  async find(): Promise<CustomerFolder | undefined> {
    return (await this.#workspaces.identify(this.#id)) === undefined ? undefined : await this.open();
  }

  /** Parks the programs that do nothing but wait to be approved. */
  async endHolds(): Promise<void> {
    (await this.#opened)?.approvals.endHolds();
  }

  /** Made on first use, and anew when another folder has taken its place, also by the doing of another process. */
  async open(): Promise<CustomerFolder> {
    const opened = this.#opened;
    if (opened !== undefined) {
      const { workspace } = await opened;
      if (workspace.identity === (await this.#workspaces.identify(this.#id))) return opened;
      if (this.#opened === opened) this.#opened = undefined;
    }
    this.#opened ??= this.#open();
    return await this.#opened;
  }

  /** Looks anew at a folder that was filled with sessions from elsewhere, and takes up the calls that wait in them. */
  async reload(): Promise<void> {
    this.#opened = undefined;
    const { sessions, approvals } = await this.open();
    for (const id of await sessions.list()) await approvals.restore(id).catch(this.#approvals.onProblem);
  }

  #open(): Promise<CustomerFolder> {
    const opening = this.#workspaces.open(this.#id).then((workspace) => {
      const sessions = this.#newStore(workspace);
      const folder = new ApprovalFolder({ customer: this.#id, path: workspace.approvalsPath, keys: this.#keys });
      return {
        workspace,
        sessions,
        skills: new SkillStore(workspace.skills, 'own'),
        usage: new CustomerUsage(workspace.usagePath),
        approvals: new CustomerApprovals({ ...this.#approvals, folder, sessions, executions: this.executions }),
      };
    });
    opening.catch(() => {
      if (this.#opened === opening) this.#opened = undefined;
    });
    return opening;
  }

  #newStore(workspace: Workspace): SessionStore {
    const onStored = (...stored: Parameters<Executions['stored']>) => this.executions.stored(...stored);
    return new SessionStore({ ...workspace, maxBytes: this.#settings.maxSizeBytes, keys: this.#keys, onStored });
  }

  get #keys(): SessionKeys {
    const { encryptionKey: current, oldKeys: old } = this.#settings;
    return { current, old };
  }
}
