import { type ApprovalDecision, executionOfApproval, isApprovalOf } from '../core/approval.ts';
import { type ErrorCode, isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { PendingApproval } from '../core/execution.ts';
import { type ExecutionId, parseExecutionId, type SessionId } from '../core/ids.ts';
import type { ApprovalFolder } from '../sessions/approval-folder.ts';
import { decidedEvent, decisionOf, type RecordedApproval } from '../sessions/execution-approvals.ts';
import type { ExecutionHistory } from '../sessions/execution-history.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import type { SessionStore } from '../sessions/session-store.ts';
import { Deadline, poll } from '../util/deadline.ts';
import type { ApprovalGate, ApprovalGateOptions } from './approval-gate.ts';
import type { ExecutionLog } from './execution-log.ts';
import type { Executions } from './executions.ts';
import type { LiveExecution } from './live-execution.ts';
import { OpenGates } from './open-gates.ts';

export interface CustomerApprovalsOptions {
  readonly folder: ApprovalFolder;
  readonly sessions: Pick<SessionStore, 'findReader'>;
  readonly executions: Pick<Executions, 'exclusively' | 'recorded' | 'running'>;
  readonly config: ApprovalGateOptions['config'];
  /** Runs the program of a paused execution again; resolves when that has begun. */
  readonly resume: (execution: ExecutionId) => Promise<unknown>;
  /** Told of what fails while nobody waits for it. */
  readonly onProblem: (error: unknown) => void;
}

/** What holds of an approval. */
export interface DecidedApproval extends ApprovalDecision {
  readonly approvalId: string;
  readonly executionId: ExecutionId;
}

/** How long a decision waits for the process that runs the program to take note of it. */
const NOTICE_TIMEOUT_MS = 15_000;
const NOTICE_EVERY_MS = 100;

/**
 * The calls of a customer's programs that wait to be approved, and the decisions on them.
 *
 * A decision holds from the moment when it is in the customer's folder, where any process can put it. It is carried out by the
 * one that has the session: by telling the program that waits, or, when none does, by recording it and running the program
 * again.
 */
export class CustomerApprovals {
  readonly #options: CustomerApprovalsOptions;
  readonly #gates: OpenGates;

  constructor(options: CustomerApprovalsOptions) {
    this.#options = options;
    this.#gates = new OpenGates(options.folder, (open) => {
      for (const { approvalId } of open) void this.#settle(approvalId);
    });
  }

  /** For a program that is about to run; close it when it has ended. */
  openGate({ id: executionId, history }: LiveExecution, sessionId: SessionId, log: ExecutionLog): ApprovalGate {
    const { config, folder } = this.#options;
    const asked = history?.askedApprovals ?? [];
    return this.#gates.open({ executionId, sessionId, config, folder, log, asked });
  }

  /** What waits for a decision, oldest first. */
  async list(): Promise<readonly PendingApproval[]> {
    const ids = await this.#options.folder.list();
    const found = await Promise.all(ids.map((id) => this.#findUndecided(id)));
    return found
      .filter((approval) => approval !== undefined)
      .sort((a, b) => (a.requestedAt < b.requestedAt ? -1 : a.requestedAt > b.requestedAt ? 1 : a.call - b.call));
  }

  /**
   * Decides, and sees to it that the program goes on; resolves when the decision is on disk. The same decision again changes
   * nothing. Throws `not_found`, and `invalid_state` when it was decided otherwise, or its call waits no longer.
   */
  async decide(approvalId: string, decision: ApprovalDecision): Promise<DecidedApproval> {
    const holds = await this.#decide(approvalId, decision);
    const executionId = executionOfApproval(approvalId);
    if (holds.approved === decision.approved) return { approvalId, executionId, ...holds };
    const was = `${holds.approved ? 'approved' : 'rejected'} by ${holds.by}`;
    throw new WorkcellError('invalid_state', `The approval "${approvalId}" is decided: it was ${was}`);
  }

  /**
   * Carries out what was decided and got stuck, because a process died, and rejects what nobody has decided on in time. For
   * one execution, or for all.
   */
  async sweep(execution?: ExecutionId): Promise<void> {
    for (const approvalId of await this.#options.folder.list()) {
      if (execution === undefined || isApprovalOf(execution, approvalId)) await this.#settle(approvalId);
    }
    if (execution !== undefined && (await this.#isReady(execution))) await this.#resume(execution);
  }

  /** Takes up what waits in a session that came from elsewhere. */
  async restore(sessionId: SessionId): Promise<void> {
    const { sessions, executions, folder } = this.#options;
    const landmarks = [...((await sessions.findReader(sessionId))?.landmarks() ?? [])];
    const asking = landmarks.filter(({ type }) => type === 'approval.requested').map(({ executionId }) => executionId);
    for (const id of new Set(asking)) {
      const { approvals } = await executions.recorded(parseExecutionId(id));
      for (const { approvalId } of approvals) await folder.add(approvalId);
    }
  }

  /** Parks the programs that do nothing but wait: this process is about to end, and decisions may take long. */
  endHolds(): void {
    this.#gates.endHolds();
  }

  /** Resolves with what an execution waits for, when it does nothing but wait. Rejects when the signal fires. */
  async whenPaused(executionId: ExecutionId, signal: AbortSignal): Promise<readonly PendingApproval[]> {
    const aborted = Promise.withResolvers<never>();
    aborted.promise.catch(() => {});
    const abort = () => aborted.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      for (;;) {
        signal.throwIfAborted();
        const { opened } = this.#gates;
        const gate = this.#gates.get(executionId);
        if (gate !== undefined) return await gate.whenPaused(signal);
        const isRunning = this.#options.executions.running.has(executionId);
        const open = isRunning ? [] : (await this.list()).filter((approval) => approval.executionId === executionId);
        if (open.length > 0) return open;
        await Promise.race([opened, aborted.promise]);
      }
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** Puts a decision into the folder, and carries out the one that holds. Throws as {@link decide} does. */
  async #decide(approvalId: string, decision: ApprovalDecision): Promise<ApprovalDecision> {
    const { folder } = this.#options;
    const asked = recordedIn(await this.#history(approvalId), approvalId);
    if (asked.state !== 'open' && asked.state !== 'ready') return decisionIn(asked);
    // Its session may have come here without it.
    if (!(await folder.list()).includes(approvalId)) await folder.add(approvalId);
    const holds = await folder.decide(approvalId, this.#expired(asked.requested.at) ?? decision);
    if (holds === undefined) return decisionIn(recordedIn(await this.#history(approvalId), approvalId));
    using deadline = new Deadline(`Carrying out the decision on "${approvalId}"`, NOTICE_TIMEOUT_MS);
    try {
      return await poll(deadline, () => this.#carryOut(approvalId, holds), NOTICE_EVERY_MS);
    } catch (error) {
      // It holds all the same: whoever has the session carries it out when he looks.
      if (codeOf(error) === 'deadline_exceeded') return holds;
      throw error;
    }
  }

  /** Gives the decision that holds; undefined when it cannot be carried out here and now. Throws as {@link decide} does. */
  async #carryOut(approvalId: string, decision: ApprovalDecision): Promise<ApprovalDecision | undefined> {
    const executionId = executionOfApproval(approvalId);
    const { executions, folder } = this.#options;
    const told = await this.#gates.get(executionId)?.decide(approvalId, decision);
    if (told !== undefined) {
      // One that came after the call was told must not lie there for another.
      if (told !== decision) await folder.remove(approvalId);
      return told;
    }
    try {
      const recorded = await executions.exclusively(executionId, (session, history) =>
        record(session, recordedIn(history, approvalId), decision),
      );
      if (recorded === undefined) return await this.#alreadyDecided(approvalId);
      // A decision stays in the folder until its call has come: that is what lets it pass.
      if (recorded.state === 'ready') await this.#resume(executionId);
      else await folder.remove(approvalId);
      return decisionIn(recorded);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'busy') return await this.#alreadyDecided(approvalId);
      if (code !== 'not_found' && code !== 'history_gone') throw error;
      await folder.remove(approvalId);
      throw unknownApproval(approvalId);
    }
  }

  /** What the process that runs the program has on record by now. */
  async #alreadyDecided(approvalId: string): Promise<ApprovalDecision | undefined> {
    const recorded = recordedIn(await this.#history(approvalId), approvalId);
    if (recorded.state === 'open') return undefined;
    // Its call was told: what lies in the folder has come too late, and must not lie there for another.
    if (recorded.decided?.waiting !== false) await this.#options.folder.remove(approvalId);
    return decisionIn(recorded);
  }

  /** A program that cannot run again now may with the next sweep. */
  async #resume(executionId: ExecutionId): Promise<void> {
    const { resume, executions, onProblem } = this.#options;
    try {
      await resume(executionId);
    } catch (error) {
      // Somebody else may have begun it.
      if (codeOf(error) !== 'busy' && !executions.running.has(executionId)) onProblem(error);
    }
  }

  /** Whether all is decided that it waits for, and nobody runs it with that. */
  async #isReady(executionId: ExecutionId): Promise<boolean> {
    const { executions } = this.#options;
    if (executions.running.has(executionId)) return false;
    const history = await executions.recorded(executionId);
    return history.state(false) === 'paused' && history.approvals.length === 0;
  }

  /** Does what is to be done about a request. */
  async #settle(approvalId: string): Promise<void> {
    const { folder, onProblem } = this.#options;
    try {
      const open = await this.#findOpen(approvalId);
      const expired = open && this.#expired(open.requestedAt);
      const decision =
        (await folder.findDecision(approvalId)) ?? (expired && (await folder.decide(approvalId, expired)));
      if (decision !== undefined) await this.#carryOut(approvalId, decision);
      else if (open === undefined && this.#gates.get(executionOfApproval(approvalId)) === undefined)
        await folder.remove(approvalId);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'invalid_state') await folder.remove(approvalId);
      else if (code !== 'not_found' && code !== 'cancelled') onProblem(error);
    }
  }

  /** As {@link #findOpen}, unless a decision on it is under way, or it is too late for one. */
  async #findUndecided(approvalId: string): Promise<PendingApproval | undefined> {
    if ((await this.#options.folder.findDecision(approvalId)) !== undefined) return undefined;
    const open = await this.#findOpen(approvalId);
    return open === undefined || this.#expired(open.requestedAt) !== undefined ? undefined : open;
  }

  /** What is asked for, while nobody has decided on it, says whoever runs its program, or its session. */
  async #findOpen(approvalId: string): Promise<PendingApproval | undefined> {
    const executionId = executionOfApproval(approvalId);
    const isSame = (each: PendingApproval) => each.approvalId === approvalId;
    const waiting = this.#gates.get(executionId)?.open.find(isSame);
    if (waiting !== undefined) return waiting;
    const history = await this.#options.executions.recorded(executionId).catch((error) => {
      if (codeOf(error) === 'not_found' || codeOf(error) === 'history_gone') return undefined;
      throw error;
    });
    return history?.approvals.find(isSame);
  }

  async #history(approvalId: string): Promise<ExecutionHistory> {
    try {
      return await this.#options.executions.recorded(executionOfApproval(approvalId));
    } catch (error) {
      throw codeOf(error) === 'not_found' ? unknownApproval(approvalId) : error;
    }
  }

  /** The decision of nobody, when it is too late for any other. */
  #expired(requestedAt: string): ApprovalDecision | undefined {
    const until = new Date(Date.parse(requestedAt) + this.#options.config.approvals.expireMs);
    if (until.getTime() > Date.now()) return undefined;
    return { approved: false, by: 'workcell', reason: `nobody had decided by ${until.toISOString()}` };
  }
}

/** Records the decision on a call whose program does not run, unless there is one; gives what is on record then. */
async function record(
  session: SessionLog,
  found: RecordedApproval,
  decision: ApprovalDecision,
): Promise<RecordedApproval> {
  if (found.state !== 'open') return found;
  const decided = { ...decidedEvent(found.requested, decision), waiting: false };
  await session.append(decided);
  return { ...found, decided, state: 'ready' };
}

/** Throws `not_found`: its process may have died before the request was in the session. */
function recordedIn({ askedApprovals }: ExecutionHistory, approvalId: string): RecordedApproval {
  const recorded = askedApprovals.find(({ requested }) => requested.approvalId === approvalId);
  if (recorded === undefined) throw unknownApproval(approvalId);
  return recorded;
}

function decisionIn(recorded: RecordedApproval): ApprovalDecision {
  const decision = decisionOf(recorded);
  if (decision !== undefined) return decision;
  const { approvalId } = recorded.requested;
  throw new WorkcellError('invalid_state', `The approval "${approvalId}" cannot be decided: its call waits no longer`);
}

function unknownApproval(approvalId: string): WorkcellError {
  return new WorkcellError('not_found', `There is no approval "${approvalId}"; see \`workcell approvals list\``);
}

function codeOf(error: unknown): ErrorCode | undefined {
  return isWorkcellError(error) ? error.code : undefined;
}
