import { type ApprovalDecision, executionOfApproval } from '../core/approval.ts';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { PendingApproval } from '../core/execution.ts';
import type { ExecutionId, SessionId } from '../core/ids.ts';
import type { ApprovalFolder } from '../sessions/approval-folder.ts';
import { decidedEvent, type RecordedApproval } from '../sessions/execution-approvals.ts';
import { readApprovals } from '../sessions/read-approvals.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import type { SessionStore } from '../sessions/session-store.ts';
import { Deadline, poll } from '../util/deadline.ts';
import { KeyedTurns } from '../util/keyed-turns.ts';
import { ApprovalGate, type ApprovalGateOptions, decisionOf, pendingOf } from './approval-gate.ts';

export interface CustomerApprovalsOptions {
  readonly folder: ApprovalFolder;
  readonly sessions: SessionStore;
  readonly config: ApprovalGateOptions['config'];
  /** Finds the session of an execution. Throws `not_found`. */
  readonly findSession: (execution: ExecutionId) => Promise<SessionId>;
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

export interface OpenGateOptions {
  readonly session: SessionLog;
  readonly executionId: ExecutionId;
  readonly log: ApprovalGateOptions['log'];
  /** Whether the program runs again, so that the session may hold approvals of it. */
  readonly isResumed: boolean;
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
  /** A decision is recorded while no gate opens, so that a gate knows all that was decided before. */
  readonly #turns = new KeyedTurns();
  readonly #resuming = new Map<ExecutionId, Promise<unknown>>();
  #gateOpened = Promise.withResolvers<void>();
  #waitingGates = 0;
  #watch: Disposable | undefined;

  constructor(options: CustomerApprovalsOptions) {
    this.#options = options;
  }

  /** For a program that begins to run; close it when it has ended. */
  openGate({ session, executionId, log, isResumed }: OpenGateOptions): Promise<ApprovalGate> {
    return this.#turns.take(executionId, async () => {
      const recorded = isResumed ? await readApprovals(session.read(), executionId) : [];
      const { config, folder } = this.#options;
      const gate = new ApprovalGate({
        executionId,
        sessionId: session.id,
        config,
        folder,
        log,
        recorded,
        onWaiting: (isWaiting) => this.#follow(isWaiting),
        onClosed: () => this.#forget(executionId, gate),
      });
      this.#gates.set(executionId, gate);
      this.#gateOpened.resolve();
      this.#gateOpened = Promise.withResolvers();
      return gate;
    });
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
    const { folder } = this.#options;
    const request = (await folder.find(approvalId)) ?? (await this.#recall(approvalId));
    const holds = 'decision' in request ? request.decision : await this.#place(request, decision);
    if (holds.approved === decision.approved)
      return { approvalId, executionId: executionOfApproval(approvalId), ...holds };
    const was = `${holds.approved ? 'approved' : 'rejected'} by ${holds.by}`;
    throw new WorkcellError('invalid_state', `The approval "${approvalId}" is decided: it was ${was}`);
  }

  /**
   * Carries out what was decided and got stuck, because a process died, and rejects what nobody has decided on in time. For
   * one execution, or for all.
   */
  async sweep(execution?: ExecutionId): Promise<void> {
    const requests = await this.#options.folder.list();
    for (const request of requests) {
      if (execution === undefined || request.executionId === execution) await this.#settle(request);
    }
  }

  /** Resolves with what an execution waits for, when it does nothing but wait. Rejects when the signal fires. */
  async whenPaused(executionId: ExecutionId, signal: AbortSignal): Promise<readonly PendingApproval[]> {
    const aborted = Promise.withResolvers<never>();
    const abort = () => aborted.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    aborted.promise.catch(() => {});
    try {
      for (;;) {
        signal.throwIfAborted();
        const opened = this.#gateOpened.promise;
        const gate = this.#gates.get(executionId);
        if (gate !== undefined) return await gate.whenPaused(signal);
        const open = (await this.list()).filter((approval) => approval.executionId === executionId);
        if (open.length > 0) return open;
        await Promise.race([opened, aborted.promise]);
      }
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** Puts a decision into the folder, and carries out the one that holds. */
  async #place(request: PendingApproval, decision: ApprovalDecision): Promise<ApprovalDecision> {
    const { folder } = this.#options;
    const { approvalId } = request;
    const holds = await folder.decide(approvalId, this.#expired(request) ?? decision);
    if (holds === undefined) return this.#decisionOnRecord(approvalId);
    using deadline = new Deadline(`Carrying out the decision on "${approvalId}"`, NOTICE_TIMEOUT_MS);
    try {
      return await poll(deadline, () => this.#carryOut(request, holds).catch(undefinedIfBusy), NOTICE_EVERY_MS);
    } catch (error) {
      // It holds all the same: whoever has the session carries it out as soon as he looks.
      if (isWorkcellError(error) && error.code === 'deadline_exceeded') return holds;
      throw error;
    }
  }

  /** Gives the decision that holds. Throws `busy` when another process has the session. */
  async #carryOut(request: PendingApproval, decision: ApprovalDecision): Promise<ApprovalDecision> {
    const { approvalId, executionId, sessionId } = request;
    const { sessions, folder } = this.#options;
    // Held until the program runs again, so that no other process comes in between.
    await using session = await sessions.open(sessionId);
    const recorded = await this.#turns.take(executionId, async () => {
      const gate = this.#gates.get(executionId);
      if (gate?.parked.aborted === true) await gate.closed;
      const isTold = await gate?.decide(approvalId, decision);
      return isTold === true ? undefined : await this.#record(session, request, decision);
    });
    if (recorded === undefined) return decision;
    if (recorded.state === 'ready') await this.#resume(executionId);
    else await folder.remove(approvalId);
    return decisionIn(recorded);
  }

  /** Records the decision on a call whose program does not run; gives what is on record then. */
  async #record(session: SessionLog, request: PendingApproval, decision: ApprovalDecision): Promise<RecordedApproval> {
    const { approvalId, executionId } = request;
    const find = async () => {
      const approvals = await readApprovals(session.read(), executionId);
      return approvals.find(({ requested }) => requested.approvalId === approvalId);
    };
    const found = await find();
    // Its process died before the request was in the session.
    if (found === undefined) throw unknownApproval(approvalId);
    if (found.state !== 'open' || this.#gates.has(executionId)) return found;
    await session.append({ ...decidedEvent(found.requested, decision), waiting: false });
    return (await find()) ?? found;
  }

  /** A program that cannot run again now is left for the next sweep. */
  async #resume(executionId: ExecutionId): Promise<void> {
    const { folder, resume, onProblem } = this.#options;
    try {
      if (!this.#gates.has(executionId)) {
        const resuming = this.#resuming.get(executionId) ?? resume(executionId);
        this.#resuming.set(executionId, resuming);
        await resuming.finally(() => this.#resuming.delete(executionId));
      }
      for (const { approvalId } of (await folder.list()).filter((each) => each.executionId === executionId)) {
        if ((await folder.findDecision(approvalId)) !== undefined) await folder.remove(approvalId);
      }
    } catch (error) {
      onProblem(error);
    }
  }

  /** Does what is to be done about a request. */
  async #settle(request: PendingApproval): Promise<void> {
    const { folder, onProblem } = this.#options;
    const { approvalId } = request;
    try {
      const expired = this.#expired(request);
      const decision =
        (await folder.findDecision(approvalId)) ?? (expired && (await folder.decide(approvalId, expired)));
      if (decision !== undefined) await this.#carryOut(request, decision).catch(undefinedIfBusy);
      else if (!this.#gates.has(request.executionId) && !(await this.#isOpen(request))) await folder.remove(approvalId);
    } catch (error) {
      const code = isWorkcellError(error) ? error.code : undefined;
      if (code === 'not_found') await folder.remove(approvalId);
      else if (code !== 'invalid_state' && code !== 'cancelled') onProblem(error);
    }
  }

  /** Whether it is open in its session, too, and still in time. */
  async #isOpen(request: PendingApproval): Promise<boolean> {
    const { approvalId, executionId, sessionId } = request;
    const { folder, sessions } = this.#options;
    if ((await folder.findDecision(approvalId)) !== undefined || this.#expired(request) !== undefined) return false;
    const gate = this.#gates.get(executionId);
    if (gate?.open.some((each) => each.approvalId === approvalId) === true) return true;
    const history = await sessions.find(sessionId);
    const approvals = history === undefined ? [] : await readApprovals(history, executionId);
    return approvals.some(({ requested, state }) => requested.approvalId === approvalId && state === 'open');
  }

  /** What is known of an approval that is not in the folder: the decision on it, or its request, which is put there again. */
  async #recall(approvalId: string): Promise<PendingApproval | { readonly decision: ApprovalDecision }> {
    const { recorded, sessionId } = await this.#find(approvalId);
    if (recorded.state !== 'open') return { decision: decisionIn(recorded) };
    const request = pendingOf(recorded.requested, sessionId);
    await this.#options.folder.add(request);
    return request;
  }

  async #decisionOnRecord(approvalId: string): Promise<ApprovalDecision> {
    return decisionIn((await this.#find(approvalId)).recorded);
  }

  async #find(approvalId: string): Promise<{ readonly recorded: RecordedApproval; readonly sessionId: SessionId }> {
    const { sessions, findSession } = this.#options;
    const executionId = executionOfApproval(approvalId);
    const sessionId = await findSession(executionId).catch((error) => {
      throw isWorkcellError(error) && error.code === 'not_found' ? unknownApproval(approvalId) : error;
    });
    const history = await sessions.find(sessionId);
    const approvals = history === undefined ? [] : await readApprovals(history, executionId);
    const recorded = approvals.find(({ requested }) => requested.approvalId === approvalId);
    if (recorded === undefined) throw unknownApproval(approvalId);
    return { recorded, sessionId };
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

  #forget(executionId: ExecutionId, gate: ApprovalGate): void {
    if (this.#gates.get(executionId) === gate) this.#gates.delete(executionId);
  }
}

function decisionIn({ requested, decided }: RecordedApproval): ApprovalDecision {
  if (decided !== undefined) return decisionOf(decided);
  throw new WorkcellError(
    'invalid_state',
    `The approval "${requested.approvalId}" cannot be decided: its call waits no longer`,
  );
}

function unknownApproval(approvalId: string): WorkcellError {
  return new WorkcellError('not_found', `There is no approval "${approvalId}"; see \`workcell approvals list\``);
}

function undefinedIfBusy(error: unknown): undefined {
  if (isWorkcellError(error) && error.code === 'busy') return undefined;
  throw error;
}
