import { type ApprovalDecision, executionOfApproval } from '../core/approval.ts';
import { type ErrorCode, isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { PendingApproval } from '../core/execution.ts';
import { type ExecutionId, parseExecutionId, type SessionId } from '../core/ids.ts';
import type { ApprovalFolder } from '../sessions/approval-folder.ts';
import { decidedEvent, decisionOf, type RecordedApproval } from '../sessions/execution-approvals.ts';
import type { ExecutionHistory } from '../sessions/execution-history.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import type { SessionStore } from '../sessions/session-store.ts';
import { Deadline, poll } from '../util/deadline.ts';
import { ApprovalGate, type ApprovalGateOptions } from './approval-gate.ts';
import type { ExecutionLog } from './execution-log.ts';
import type { Executions } from './executions.ts';
import type { LiveExecution } from './live-execution.ts';

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
  readonly #gates = new Map<ExecutionId, ApprovalGate>();
  #gateOpened = Promise.withResolvers<void>();
  #waitingGates = 0;
  #watch: Disposable | undefined;

  constructor(options: CustomerApprovalsOptions) {
    this.#options = options;
  }

  /** For a program that is about to run; close it when it has ended. */
  openGate({ id, history }: LiveExecution, sessionId: SessionId, log: ExecutionLog): ApprovalGate {
    const { config, folder } = this.#options;
    const gate = new ApprovalGate({
      executionId: id,
      sessionId,
      config,
      folder,
      log,
      asked: history?.askedApprovals ?? [],
      onWaiting: (isWaiting) => this.#follow(isWaiting),
      onClosed: () => this.#gates.delete(id),
    });
    this.#gates.set(id, gate);
    this.#gateOpened.resolve();
    this.#gateOpened = Promise.withResolvers();
    return gate;
  }

  /** What waits for a decision, oldest first. */
  async list(): Promise<readonly PendingApproval[]> {
    const requests = await this.#options.folder.list();
    const open = await Promise.all(requests.map((request) => this.#isOpen(request)));
    return requests.filter((_, index) => open[index]);
  }

  /**
   * Decides, and sees to it that the program goes on; resolves when the decision is on disk. The same decision again changes
   * nothing. Throws `not_found`, and `invalid_state` when it was decided otherwise, or its call waits no longer.
   */
  async decide(approvalId: string, decision: ApprovalDecision): Promise<DecidedApproval> {
    const request = await this.#request(approvalId);
    const holds = 'decision' in request ? request.decision : await this.#place(request, decision);
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
    for (const request of await this.#options.folder.list()) {
      if (execution === undefined || request.executionId === execution) await this.#settle(request);
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
      for (const approval of approvals) await folder.add(approval);
    }
  }

  /** Parks the programs that do nothing but wait: this process is about to end, and decisions may take long. */
  endHolds(): void {
    for (const gate of this.#gates.values()) gate.endHold();
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
        const opened = this.#gateOpened.promise;
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

  /** What is to be decided, or what was decided on it: that is not in the folder any more. Throws as {@link decide} does. */
  async #request(approvalId: string): Promise<PendingApproval | { readonly decision: ApprovalDecision }> {
    const { folder } = this.#options;
    const request = await folder.find(approvalId);
    if (request !== undefined) return request;
    const history = await this.#history(approvalId);
    const open = history.approvals.find((each) => each.approvalId === approvalId);
    if (open === undefined) return { decision: decisionIn(history, approvalId) };
    // Its session came here without it.
    await folder.add(open);
    return open;
  }

  /** Puts a decision into the folder, and carries out the one that holds. */
  async #place(request: PendingApproval, decision: ApprovalDecision): Promise<ApprovalDecision> {
    const { approvalId } = request;
    const holds = await this.#options.folder.decide(approvalId, this.#expired(request) ?? decision);
    if (holds === undefined) return decisionIn(await this.#history(approvalId), approvalId);
    using deadline = new Deadline(`Carrying out the decision on "${approvalId}"`, NOTICE_TIMEOUT_MS);
    try {
      return await poll(deadline, () => this.#carryOut(request, holds), NOTICE_EVERY_MS);
    } catch (error) {
      // It holds all the same: whoever has the session carries it out when he looks.
      if (codeOf(error) === 'deadline_exceeded') return holds;
      throw error;
    }
  }

  /** Gives the decision that holds; undefined when it cannot be carried out here and now. Throws as {@link decide} does. */
  async #carryOut(request: PendingApproval, decision: ApprovalDecision): Promise<ApprovalDecision | undefined> {
    const { approvalId, executionId } = request;
    const { executions, folder } = this.#options;
    if ((await this.#gates.get(executionId)?.decide(approvalId, decision)) === true) return decision;
    try {
      const recorded = await executions.exclusively(executionId, (session, history) =>
        record(session, history, approvalId, decision),
      );
      if (recorded === undefined) return await this.#alreadyDecided(approvalId);
      // A decision stays in the folder until its call has come: that is what lets it pass.
      if (recorded.state === 'ready') await this.#resume(executionId);
      else await folder.remove(approvalId);
      return decisionIn({ askedApprovals: [recorded] }, approvalId);
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
    const { askedApprovals } = await this.#history(approvalId);
    const recorded = askedApprovals.find(({ requested }) => requested.approvalId === approvalId);
    if (recorded === undefined || recorded.state === 'open') return undefined;
    return decisionIn({ askedApprovals }, approvalId);
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
  async #settle(request: PendingApproval): Promise<void> {
    const { folder, onProblem } = this.#options;
    const { approvalId } = request;
    try {
      const expired = this.#expired(request);
      const decision =
        (await folder.findDecision(approvalId)) ?? (expired && (await folder.decide(approvalId, expired)));
      if (decision !== undefined) await this.#carryOut(request, decision);
      else if (!(await this.#isOpen(request)) && !this.#gates.has(request.executionId)) await folder.remove(approvalId);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'invalid_state') await folder.remove(approvalId);
      else if (code !== 'not_found' && code !== 'cancelled') onProblem(error);
    }
  }

  /** Whether it is open in its session, too, and still in time. */
  async #isOpen(request: PendingApproval): Promise<boolean> {
    const { approvalId, executionId } = request;
    const { folder, executions } = this.#options;
    if ((await folder.findDecision(approvalId)) !== undefined || this.#expired(request) !== undefined) return false;
    const isSame = (each: PendingApproval) => each.approvalId === approvalId;
    if (this.#gates.get(executionId)?.open.some(isSame) === true) return true;
    const history = await executions.recorded(executionId).catch((error) => {
      if (codeOf(error) === 'not_found' || codeOf(error) === 'history_gone') return undefined;
      throw error;
    });
    return history?.approvals.some(isSame) === true;
  }

  async #history(approvalId: string): Promise<ExecutionHistory> {
    try {
      return await this.#options.executions.recorded(executionOfApproval(approvalId));
    } catch (error) {
      throw codeOf(error) === 'not_found' ? unknownApproval(approvalId) : error;
    }
  }

  #expired({ requestedAt }: PendingApproval): ApprovalDecision | undefined {
    const until = new Date(Date.parse(requestedAt) + this.#options.config.approvals.expireMs);
    if (until.getTime() > Date.now()) return undefined;
    return { approved: false, by: 'workcell', reason: `nobody had decided by ${until.toISOString()}` };
  }

  /** Decisions of other processes arrive in the folder; it is watched while somebody here waits for one. */
  #follow(isWaiting: boolean): void {
    this.#waitingGates += isWaiting ? 1 : -1;
    if (this.#waitingGates === 0) {
      this.#watch?.[Symbol.dispose]();
      this.#watch = undefined;
    } else this.#watch ??= this.#options.folder.watch(() => this.#look());
  }

  #look(): void {
    for (const gate of this.#gates.values()) for (const request of gate.open) void this.#settle(request);
  }
}

/** Records the decision on a call whose program does not run; gives what is on record then. */
async function record(
  session: SessionLog,
  { askedApprovals }: ExecutionHistory,
  approvalId: string,
  decision: ApprovalDecision,
): Promise<RecordedApproval> {
  const found = askedApprovals.find(({ requested }) => requested.approvalId === approvalId);
  // Its process died before the request was in the session.
  if (found === undefined) throw unknownApproval(approvalId);
  if (found.state !== 'open') return found;
  const decided = { ...decidedEvent(found.requested, decision), waiting: false };
  await session.append(decided);
  return { ...found, decided, state: 'ready' };
}

function decisionIn(
  { askedApprovals }: Pick<ExecutionHistory, 'askedApprovals'>,
  approvalId: string,
): ApprovalDecision {
  const recorded = askedApprovals.find(({ requested }) => requested.approvalId === approvalId);
  if (recorded === undefined) throw unknownApproval(approvalId);
  const decision = decisionOf(recorded);
  if (decision !== undefined) return decision;
  throw new WorkcellError('invalid_state', `The approval "${approvalId}" cannot be decided: its call waits no longer`);
}

function unknownApproval(approvalId: string): WorkcellError {
  return new WorkcellError('not_found', `There is no approval "${approvalId}"; see \`workcell approvals list\``);
}

function codeOf(error: unknown): ErrorCode | undefined {
  return isWorkcellError(error) ? error.code : undefined;
}
