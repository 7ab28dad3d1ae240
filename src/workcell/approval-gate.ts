import { once } from 'node:events';
import type { CheckedCall } from '../broker/broker.ts';
import type { Config } from '../config/config.ts';
import { type ApprovalDecision, approvalIdOf, argumentsHash } from '../core/approval.ts';
import { isWorkcellError, messageOf, WorkcellError } from '../core/errors.ts';
import type { PendingApproval } from '../core/execution.ts';
import type { ExecutionId, SessionId } from '../core/ids.ts';
import { toolName } from '../core/tool.ts';
import type { ToolFailure } from '../core/tool-error.ts';
import { needsApproval } from '../guardrails/needs-approval.ts';
import type { ApprovalFolder } from '../sessions/approval-folder.ts';
import { decisionOf, type RecordedApproval } from '../sessions/execution-approvals.ts';
import type { Deadline } from '../util/deadline.ts';
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
  readonly approval: PendingApproval;
  readonly answer: PromiseWithResolvers<ToolFailure | undefined>;
  /** Resolves when the request is on disk. */
  readonly asked: Promise<void>;
  isAsked: boolean;
  /** Lets the program's time run again. */
  endPause: () => void;
  /** Set when a decision is being recorded. */
  decided?: Promise<void>;
}

/** An approval of before, of a program that runs again. */
interface Recorded {
  readonly approval: PendingApproval;
  /** Of the arguments. */
  readonly hash: string;
  decision: ApprovalDecision | undefined;
  /** Whether it was approved since the program runs again, and its call has not come yet. */
  isGranted: boolean;
}

/** A program that waits for so long with all of its calls counts as paused. */
const MOMENT_MS = 250;

/** Where the calls of one running execution wait until somebody has approved them. */
export class ApprovalGate {
  readonly #options: ApprovalGateOptions;
  readonly #waiting = new Map<string, Waiting>();
  /** Those of before that the program, which runs again, has not come to yet. */
  readonly #recorded: readonly Recorded[];
  readonly #paused = new Set<(approvals: readonly PendingApproval[]) => void>();
  #asked: number;
  readonly #parked = new AbortController();
  #openCalls: (() => number) | undefined;
  /** What waited when the program ended under it. */
  #left: readonly PendingApproval[] = [];
  #deadline: Pick<Deadline, 'pause'> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #heldSince = 0;
  #isClosed = false;

  constructor(options: ApprovalGateOptions) {
    this.#options = options;
    const { executionId, sessionId, asked } = options;
    this.#asked = asked.length;
    this.#recorded = asked.flatMap((each) => {
      if (each.state === 'void') return [];
      const { approvalId, call, server, tool, arguments: args, at, truncated } = each.requested;
      const pending = { approvalId, executionId, sessionId, call, server, tool, arguments: args, requestedAt: at };
      const { argumentsHash: kept = '' } = each.requested;
      // What whoever decides was shown counts, unless it was too large to be kept.
      const hash = truncated?.includes('arguments') ? kept : argumentsHash(args);
      return [{ approval: pending, hash, decision: decisionOf(each), isGranted: false }];
    });
  }

  /** What waits for a decision at this moment. */
  get open(): readonly PendingApproval[] {
    return [...this.#waiting.values()].flatMap(({ approval, isAsked, decided }) =>
      isAsked && decided === undefined ? [approval] : [],
    );
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
  follow(deadline: Pick<Deadline, 'pause'>): void {
    this.#deadline = deadline;
  }

  /** Resolves when the call may leave, or with why it may not. Never rejects. */
  async pass(call: CheckedCall, signal: AbortSignal): Promise<ToolFailure | undefined> {
    const policy = this.#options.config.mcpServers[call.server]?.requireApproval ?? 'never';
    if (!needsApproval(policy, call.tool)) return undefined;
    try {
      const hash = argumentsHash(call.arguments);
      // The last, since a call whose approval was used up is asked for anew.
      const known = this.#recorded.findLast(
        ({ approval, hash: recorded }) =>
          approval.call === call.seq && toolName(approval) === toolName(call) && recorded === hash,
      );
      if (known?.decision?.approved === false) return answerTo(known.approval, known.decision);
      if (known?.decision !== undefined && (await this.#takeGrant(known))) return undefined;
      if (known !== undefined && known.decision === undefined)
        return await this.#wait(known.approval, signal, () => this.#ask(known.approval));
      const approval = this.#newApproval(call);
      return await this.#wait(approval, signal, async () => {
        // There is none with this id yet, so what may lie there is of nobody.
        await this.#options.folder.remove(approval.approvalId);
        await this.#ask(approval);
        await this.#options.log.approvalRequested(approval);
      });
    } catch (error) {
      return { code: 'cancelled', message: `${toolName(call)} cannot wait for an approval: ${messageOf(error)}` };
    }
  }

  /** Records a decision, and lets its call go on; resolves when it is on disk. False when nothing here waits for it. */
  async decide(approvalId: string, decision: ApprovalDecision): Promise<boolean> {
    // What is left open is decided by whoever has its session then.
    if (this.#isClosed || this.#parked.signal.aborted) return false;
    const waiting = this.#waiting.get(approvalId);
    if (waiting !== undefined) {
      waiting.decided ??= this.#answer(waiting, decision);
      await waiting.decided;
      return true;
    }
    const early = this.#recorded.find(({ approval }) => approval.approvalId === approvalId);
    if (early === undefined || early.decision !== undefined) return false;
    await this.#record(early.approval, decision);
    early.decision = decision;
    early.isGranted = true;
    // The call may have come meanwhile.
    this.#waiting.get(approvalId)?.answer.resolve(answerTo(early.approval, decision));
    return true;
  }

  /** Resolves with what is open when the program does nothing but wait for it, and has for a moment. */
  whenPaused(signal: AbortSignal): Promise<readonly PendingApproval[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly PendingApproval[]>();
    const leave = () => reject(signal.reason);
    if (signal.aborted) leave();
    else {
      signal.addEventListener('abort', leave, { once: true });
      this.#paused.add(resolve);
    }
    return promise.finally(() => {
      this.#paused.delete(resolve);
      signal.removeEventListener('abort', leave);
    });
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

  /** Has the program ended, and its execution paused: these calls wait on without it. */
  park(left: readonly PendingApproval[]): void {
    this.#left = left;
    this.#parked.abort();
  }

  /** Nothing waits here from then on. Safe to call again. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.onClosed();
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

  #newApproval(call: CheckedCall): PendingApproval {
    const { executionId, sessionId } = this.#options;
    return {
      approvalId: approvalIdOf(executionId, ++this.#asked),
      executionId,
      sessionId,
      call: call.seq,
      server: call.server,
      tool: call.tool,
      arguments: call.arguments,
      requestedAt: new Date().toISOString(),
    };
  }

  /**
   * Whether an approval lets its call pass. It does once: when it was given here and now, or lies in the folder, where only this
   * host puts one. What a log says, which may come from elsewhere, or tell of a call that has left, is no leave.
   */
  async #takeGrant(known: Recorded): Promise<boolean> {
    const { approvalId } = known.approval;
    const { folder } = this.#options;
    const isGranted = known.isGranted || (await folder.findDecision(approvalId))?.approved === true;
    known.isGranted = false;
    if (isGranted) await folder.remove(approvalId);
    return isGranted;
  }

  #ask(approval: PendingApproval): Promise<void> {
    return this.#options.folder.add(approval);
  }

  async #wait(
    approval: PendingApproval,
    signal: AbortSignal,
    ask: () => Promise<void>,
  ): Promise<ToolFailure | undefined> {
    const { approvalId } = approval;
    const waiting: Waiting = {
      approval,
      asked: ask(),
      isAsked: false,
      answer: Promise.withResolvers(),
      endPause: this.#deadline?.pause() ?? (() => {}),
    };
    const cancel = () => waiting.answer.resolve({ code: 'cancelled', message: 'The call was given up' });
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true });
    this.#waiting.set(approvalId, waiting);
    if (this.#waiting.size === 1) this.#startWaiting();
    try {
      await waiting.asked;
      waiting.isAsked = true;
      const answer = await waiting.answer.promise;
      // Given up, by the program or because there is none any more; in that case it may still be decided.
      if (waiting.decided === undefined && this.#left.length === 0) await this.#options.folder.remove(approvalId);
      return answer;
    } finally {
      signal.removeEventListener('abort', cancel);
      waiting.endPause();
      this.#waiting.delete(approvalId);
      if (this.#waiting.size === 0) this.#stopWaiting();
    }
  }

  async #answer(waiting: Waiting, decision: ApprovalDecision): Promise<void> {
    const { approval, answer } = waiting;
    try {
      await waiting.asked;
      await this.#record(approval, decision);
      this.#heldSince = performance.now();
      answer.resolve(answerTo(approval, decision));
    } catch (error) {
      answer.resolve({ code: 'cancelled', message: `The decision cannot be recorded: ${messageOf(error)}` });
      throw error;
    }
  }

  async #record(approval: PendingApproval, decision: ApprovalDecision): Promise<void> {
    await this.#options.log.approvalDecided(approval, decision);
    await this.#options.folder.remove(approval.approvalId);
  }

  #startWaiting(): void {
    this.#heldSince = performance.now();
    this.#timer = setInterval(() => this.#look(), MOMENT_MS).unref();
    this.#options.onWaiting(true);
  }

  #stopWaiting(): void {
    clearInterval(this.#timer);
    this.#options.onWaiting(false);
  }

  /** Whether the program does nothing but wait, and for how long. */
  #look(): void {
    const { open } = this;
    if (open.length === 0 || this.#parked.signal.aborted) return;
    const isPaused = open.length === this.#openCalls?.();
    if (isPaused) for (const resolve of this.#paused) resolve(open);
    if (performance.now() - this.#heldSince < this.#options.config.approvals.holdMs) return;
    if (isPaused) this.park(open);
    // A program that goes on beside the call that waits must not do so without a bound.
    else for (const waiting of this.#waiting.values()) waiting.endPause();
  }
}

function answerTo(approval: PendingApproval, { approved, by, reason }: ApprovalDecision): ToolFailure | undefined {
  if (approved) return undefined;
  const { approvalId } = approval;
  const why = reason === undefined ? '' : `: ${reason}`;
  const message = `${toolName(approval)} was rejected by ${by}${why}`;
  return { code: 'rejected', message, details: { approvalId, by, reason: reason ?? null } };
}
