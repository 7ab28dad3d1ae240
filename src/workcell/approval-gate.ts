import { once } from 'node:events';
import type { CheckedCall } from '../broker/broker.ts';
import type { Config } from '../config/config.ts';
import { type ApprovalDecision, approvalIdOf } from '../core/approval.ts';
import { isWorkcellError, messageOf, WorkcellError } from '../core/errors.ts';
import type { PendingApproval } from '../core/execution.ts';
import type { ExecutionId, SessionId } from '../core/ids.ts';
import { toolName } from '../core/tool.ts';
import type { ToolFailure } from '../core/tool-error.ts';
import { formatSize } from '../core/units.ts';
import type { ProgramClock } from '../executor/program-executor.ts';
import { needsApproval } from '../guardrails/needs-approval.ts';
import type { ApprovalFolder } from '../sessions/approval-folder.ts';
import { FIELD_LIMITS } from '../sessions/bound-event.ts';
import type { RecordedApproval } from '../sessions/execution-approvals.ts';
import { ApprovalHold } from './approval-hold.ts';
import { EarlierApprovals } from './earlier-approvals.ts';
import type { ExecutionLog } from './execution-log.ts';

export interface ApprovalGateOptions {
  readonly executionId: ExecutionId;
  readonly sessionId: SessionId;
  readonly config: Pick<Config, 'mcpServers' | 'approvals'>;
  readonly folder: ApprovalFolder;
  readonly log: Pick<ExecutionLog, 'approvalRequested' | 'approvalDecided'>;
  /** What the execution has asked for before it was resumed. */
  readonly asked: readonly RecordedApproval[];
  /** Told when the first call begins to wait, and when none does any more. */
  readonly onWaiting: (isWaiting: boolean) => void;
  readonly onClosed: () => void;
}

interface Waiting {
  readonly answer: PromiseWithResolvers<ToolFailure | undefined>;
  /** Resolves when the request is on disk. */
  readonly asked: Promise<PendingApproval>;
  /** Undefined until then. */
  approval?: PendingApproval;
  /** Lets the program's time run again. */
  readonly endPause: () => void;
}

interface Decided {
  readonly decision: ApprovalDecision;
  /** Resolves when it is on disk, and its call has been told. */
  readonly isTold: Promise<void>;
}

/** Where the calls of one running execution wait until somebody has approved them. */
export class ApprovalGate {
  readonly #options: ApprovalGateOptions;
  readonly #earlier: EarlierApprovals;
  readonly #hold: ApprovalHold;
  readonly #waiting = new Map<string, Waiting>();
  readonly #decided = new Map<string, Decided>();
  readonly #parked = new AbortController();
  #asked: number;
  #openCalls: () => number = () => Infinity;
  /** What waited when the program ended under it. */
  #left: readonly PendingApproval[] = [];
  #clock: Pick<ProgramClock, 'pause'> | undefined;
  #isClosed = false;

  constructor(options: ApprovalGateOptions) {
    this.#options = options;
    const { asked, folder, config } = options;
    this.#asked = asked.length;
    this.#earlier = new EarlierApprovals(options, asked, folder);
    this.#hold = new ApprovalHold({
      holdMs: config.approvals.holdMs,
      open: () => this.open,
      openCalls: () => this.#openCalls(),
      onOver: () => this.park(this.open),
      // A program that goes on beside the call that waits must not do so without a bound.
      onBeside: () => {
        for (const { endPause } of this.#waiting.values()) endPause();
      },
    });
  }

  /** What waits for a decision at this moment. */
  get open(): readonly PendingApproval[] {
    return this.#undecided([...this.#waiting.values()].flatMap(({ approval }) => approval ?? []));
  }

  /** Fires when the program has waited for long enough, and is to be ended. */
  get parked(): AbortSignal {
    return this.#parked.signal;
  }

  /** Rejects with `paused` when what waits has waited for long enough; never resolves. */
  async untilParked(): Promise<never> {
    if (!this.parked.aborted) await once(this.parked, 'abort');
    this.leaveOpen();
    throw this.#pausedError();
  }

  /** Lets the gate tell whether the program does nothing but wait. `openCalls`: how many have no outcome yet, those that wait included. */
  attach(openCalls: () => number): void {
    this.#openCalls = openCalls;
  }

  /** Lets the time of the program stand still while a call of it waits. */
  follow(clock: Pick<ProgramClock, 'pause'>): void {
    this.#clock = clock;
  }

  /** Resolves when the call may leave, or with why it may not. Never rejects. */
  async pass(call: CheckedCall, signal: AbortSignal): Promise<ToolFailure | undefined> {
    const policy = this.#options.config.mcpServers[call.server]?.requireApproval ?? 'never';
    if (!needsApproval(policy, call.tool)) return undefined;
    try {
      const earlier = this.#earlier.find(call);
      if (earlier === undefined) return await this.#askAnew(call, signal);
      const { approval, decision } = earlier;
      if (decision === undefined) return await this.#askAgain(approval, signal);
      if (!decision.approved) return answerTo(approval, decision);
      return (await this.#earlier.takeGrant(approval)) ? undefined : await this.#askAnew(call, signal);
    } catch (error) {
      return { code: 'cancelled', message: `${toolName(call)} cannot wait for an approval: ${messageOf(error)}` };
    }
  }

  /** Records a decision, and lets its call go on; resolves with the one that holds when it is on disk. Undefined when nothing here waits for it. */
  async decide(approvalId: string, decision: ApprovalDecision): Promise<ApprovalDecision | undefined> {
    // What is left open is decided by whoever has its session then.
    if (this.#isClosed || this.parked.aborted) return undefined;
    let decided = this.#decided.get(approvalId);
    if (decided === undefined) {
      const approval = this.#waiting.get(approvalId)?.approval ?? this.#earlier.findOpen(approvalId);
      if (approval === undefined) return undefined;
      decided = { decision, isTold: this.#carryOut(approval, decision) };
      this.#decided.set(approvalId, decided);
    }
    await decided.isTold;
    return decided.decision;
  }

  /** As {@link ApprovalHold.whenPaused}. */
  whenPaused(signal: AbortSignal): Promise<readonly PendingApproval[]> {
    return this.#hold.whenPaused(signal);
  }

  /** The program has ended, and neither by itself nor because somebody wanted it: what waits is left as it is. */
  leaveOpen(): void {
    if (this.#left.length === 0) this.#left = this.open;
    this.close();
  }

  /** Throws `paused` when calls were left that wait. `cause`: what ended the program, other than that it had waited for long enough. */
  assertNoneLeft(cause?: unknown): void {
    if (isWorkcellError(cause) && cause.code === 'paused') throw cause;
    if (this.#left.length > 0) throw this.#pausedError(cause);
  }

  /** Has the program ended, and its execution paused: these calls wait on without it. Does nothing when they are decided by now. */
  park(approvals: readonly PendingApproval[]): void {
    const left = this.#undecided(approvals);
    if (left.length === 0 || this.parked.aborted) return;
    this.#left = left;
    this.#parked.abort();
  }

  /** Parks the program as soon as it does nothing but wait, as if it had waited for long enough. */
  endHold(): void {
    this.#hold.forgo();
  }

  /** Nothing waits here from then on. Safe to call again. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.onClosed();
  }

  /** A call that was asked for by a program of before, which nobody has decided on. */
  #askAgain(approval: PendingApproval, signal: AbortSignal): Promise<ToolFailure | undefined> {
    const { approvalId } = approval;
    return this.#wait(approvalId, signal, async () => {
      await this.#options.folder.add(approvalId);
      return approval;
    });
  }

  async #askAnew(call: CheckedCall, signal: AbortSignal): Promise<ToolFailure | undefined> {
    const problem = tooLarge(call);
    if (problem !== undefined) return problem;
    const { executionId, sessionId, folder, log } = this.#options;
    const { seq, server, tool, arguments: args } = call;
    this.#asked += 1;
    const approvalId = approvalIdOf(executionId, this.#asked);
    return await this.#wait(approvalId, signal, async () => {
      // There is none with this id yet, so what may lie there is of nobody.
      await folder.remove(approvalId);
      await folder.add(approvalId);
      return await log.approvalRequested({
        approvalId,
        executionId,
        sessionId,
        call: seq,
        server,
        tool,
        arguments: args,
      });
    });
  }

  async #wait(
    approvalId: string,
    signal: AbortSignal,
    ask: () => Promise<PendingApproval>,
  ): Promise<ToolFailure | undefined> {
    const waiting: Waiting = {
      asked: ask(),
      answer: Promise.withResolvers(),
      endPause: this.#clock?.pause() ?? (() => {}),
    };
    const cancel = () => waiting.answer.resolve({ code: 'cancelled', message: 'The call was given up' });
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true });
    this.#waiting.set(approvalId, waiting);
    if (this.#waiting.size === 1) this.#startWaiting();
    try {
      waiting.approval = await waiting.asked;
      const answer = await waiting.answer.promise;
      // Decided, or given up by the program; where there is none any more, it may still be decided.
      if (this.#left.length === 0) await this.#options.folder.remove(approvalId);
      return answer;
    } finally {
      signal.removeEventListener('abort', cancel);
      waiting.endPause();
      this.#waiting.delete(approvalId);
      if (this.#waiting.size === 0) this.#stopWaiting();
    }
  }

  /** Brings a decision to disk, and then to the call, which may not have come yet. */
  async #carryOut(approval: PendingApproval, decision: ApprovalDecision): Promise<void> {
    const { approvalId } = approval;
    const { log, folder } = this.#options;
    try {
      await log.approvalDecided(approval, decision);
      await folder.remove(approvalId);
      this.#earlier.decided(approvalId, decision);
      this.#hold.renew();
      this.#waiting.get(approvalId)?.answer.resolve(answerTo(approval, decision));
    } catch (error) {
      const message = `The decision cannot be recorded: ${messageOf(error)}`;
      this.#waiting.get(approvalId)?.answer.resolve({ code: 'cancelled', message });
      throw error;
    }
  }

  #startWaiting(): void {
    this.#hold.start();
    this.#options.onWaiting(true);
  }

  #stopWaiting(): void {
    this.#hold.stop();
    this.#options.onWaiting(false);
  }

  #undecided(approvals: readonly PendingApproval[]): readonly PendingApproval[] {
    return approvals.filter(({ approvalId }) => !this.#decided.has(approvalId));
  }

  #pausedError(cause?: unknown): WorkcellError {
    const { executionId, sessionId } = this.#options;
    const calls = this.#left.map((approval) => `${toolName(approval)} (${approval.approvalId})`).join(', ');
    return new WorkcellError(
      'paused',
      `Execution "${executionId}" is paused until it is decided whether it may call ${calls}; see \`workcell approvals list\``,
      { details: { executionId, sessionId, approvals: this.#left.map(({ approvalId }) => approvalId) }, cause },
    );
  }
}

/** Nobody can approve what the log does not keep: whoever decides is shown what is sent. */
function tooLarge(call: CheckedCall): ToolFailure | undefined {
  const { arguments: limit = 0 } = FIELD_LIMITS;
  const bytes = Buffer.byteLength(JSON.stringify(call.arguments));
  if (bytes <= limit) return undefined;
  const message = `${toolName(call)} has to be approved, and its arguments have ${formatSize(bytes)}, more than the ${formatSize(limit)} that can be shown for that; send less in one call`;
  return { code: 'arguments_too_large', message, details: { bytes, limit } };
}

function answerTo(approval: PendingApproval, { approved, by, reason }: ApprovalDecision): ToolFailure | undefined {
  if (approved) return undefined;
  const { approvalId } = approval;
  const why = reason === undefined ? '' : `: ${reason}`;
  const message = `${toolName(approval)} was rejected by ${by}${why}`;
  return { code: 'rejected', message, details: { approvalId, by, reason: reason ?? null } };
}
