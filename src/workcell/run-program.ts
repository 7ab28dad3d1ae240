import { Broker } from '../broker/broker.ts';
import type { Replay } from '../broker/replay.ts';
import type { ExecutionResult, ProgramError, SandboxInfo } from '../core/execution.ts';
import { type LoweredLimits, lowerLimits } from '../core/limits.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import type { ToolFailure } from '../core/tool-error.ts';
import type { ExecuteProgram, ProgramRun } from '../executor/program-executor.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import type { ApprovalGate } from './approval-gate.ts';
import { assembleResult, type ExecutionFacts } from './assemble-result.ts';
import { customerMounts } from './customer-mounts.ts';
import type { ExecutionContext } from './execution-context.ts';
import type { ExecutionLog } from './execution-log.ts';
import { LearnedResults } from './learned-results.ts';
import type { LiveExecution } from './live-execution.ts';
import { type ExecutionOrigin, ObservedExecution } from './observed-execution.ts';
import type { PreparedProgram } from './prepare-program.ts';
import { runKey } from './run-key.ts';
import type { SessionOfProgram } from './session-of-program.ts';
import type { Stopwatch } from './stopwatch.ts';

/** A program that only has to be run. */
export interface RunnableProgram {
  readonly facts: ExecutionFacts;
  /** What it may call. */
  readonly tools: readonly ToolDescriptor[];
  readonly build: PreparedProgram['build'];
  readonly session: SessionOfProgram;
  /** Answers what it has done before. */
  readonly replay?: Replay | undefined;
  /** Whether its first calls were another customer's, so that their keys of idempotency were others. Default false. */
  readonly isForeign?: boolean;
  /** Milliseconds of running; default that of the configuration. */
  readonly timeoutMs: number | undefined;
  readonly limits: LoweredLimits | undefined;
  readonly origin?: ExecutionOrigin | undefined;
  /** Runs since the program was asked for. */
  readonly watch: Stopwatch;
  readonly selectMs: number;
  readonly generateMs: number;
}

export interface RunsIn {
  /** Whose signal ends the program; its result is `killed`. */
  readonly live: LiveExecution;
  /** Knows of the execution already. */
  readonly log: ExecutionLog;
  readonly workspace: Workspace;
  readonly context: ExecutionContext;
}

/** Runs a program to its end, which is on disk when this resolves; rejects when something under it fails, when that is. */
export async function runProgram(program: RunnableProgram, runsIn: RunsIn): Promise<ExecutionResult> {
  const { live, log, context } = runsIn;
  const { facts, build, watch, selectMs, generateMs } = program;
  const observed = ObservedExecution.begin(facts, program.origin ?? {}, context);
  const gate = context.approvals.openGate(live, facts.sessionId, log);
  const learned = new LearnedResults(context.catalog);
  try {
    const assembled = build.ok
      ? await runBuilt({ ...program, build }, runsIn, { observed, gate, learned })
      : assembleResult({ facts, refused: build.error, timing: { selectMs, generateMs, totalMs: watch.total() } });
    const result = await log.finish(assembled);
    observed.ended(result);
    await context.learn(learned);
    return result;
  } catch (error) {
    observed.failed(error);
    gate.assertNoneLeft(error);
    throw await log.interrupt(error);
  } finally {
    gate.close();
  }
}

type Built = Extract<RunnableProgram['build'], { readonly ok: true }>;

/** Who looks on while it runs. */
interface Onlookers {
  readonly observed: ObservedExecution;
  readonly gate: ApprovalGate;
  readonly learned: LearnedResults;
}

/** Sends a program that compiles to a sandbox, and gives what became of it and of its calls. */
async function runBuilt(
  program: RunnableProgram & { readonly build: Built },
  runsIn: RunsIn,
  onlookers: Onlookers,
): Promise<ExecutionResult> {
  const { facts, build, replay, watch, selectMs, generateMs } = program;
  const { live, log, context } = runsIn;
  const { gate } = onlookers;
  const executor = await context.executor();
  const waitMs = watch.lap();
  await using broker = openBroker(program, runsIn, onlookers);
  gate.attach(() => broker.openCalls);
  const ends = [log.failed, replay?.diverged, live.signal].filter((signal) => signal !== undefined);
  const run = await executor.execute(programRequest(program, runsIn, onlookers, { broker, ends })).catch((error) => {
    gate.leaveOpen();
    throw error;
  });
  if (run.status === 'killed' && !ends.some(({ aborted }) => aborted)) gate.leaveOpen();
  gate.assertNoneLeft();
  const divergence = replay?.end(run.status);
  // The calls that the program left open belong to its result, and into the log before its end.
  await broker.close();
  const judged =
    divergence === undefined ? { ...run, error: run.error && build.locate(run.error) } : diverged(run, divergence);
  const acquireMs = waitMs + run.acquireMs;
  const timing = { selectMs, generateMs, acquireMs, runMs: run.runMs, totalMs: watch.total() };
  return assembleResult({ facts, run: judged, calls: broker.records, timing });
}

/** What decides about the calls of the program, and performs them. */
function openBroker(
  { facts, tools, replay, isForeign = false, limits }: RunnableProgram,
  { log, workspace, context }: RunsIn,
  { observed, gate, learned }: Onlookers,
): Broker {
  const { config, catalog, hub } = context;
  return new Broker({
    tools,
    limits: lowerLimits(config.limits, limits),
    hub: learned.observeCalls(log.recordCalls(observed.traceCalls(hub))),
    customer: workspace.customer,
    runId: runKey(workspace.customer, facts.id),
    isKeyed: (server) => !isForeign && config.mcpServers[server]?.idempotencyKey === true,
    replay,
    refusal: (tool) => catalog.refusal(tool),
    approve: (call, ended) => gate.pass(call, ended),
    ...log.brokerHooks,
  });
}

interface Calls {
  readonly broker: Broker;
  /** Each ends the program, and its calls. */
  readonly ends: readonly AbortSignal[];
}

function programRequest(
  { facts, build, session, timeoutMs, limits: lowered }: RunnableProgram & { readonly build: Built },
  { log, workspace, context: { config } }: RunsIn,
  { observed, gate }: Onlookers,
  { broker, ends }: Calls,
): ExecuteProgram {
  const limits = lowerLimits(config.limits, lowered);
  const { outputBytes, valueBytes } = limits;
  let sandbox: SandboxInfo | undefined;
  return {
    customer: workspace.customer,
    mounts: customerMounts(workspace, config),
    hold: () => workspace.tenure.share(),
    program: { id: facts.id, ...build.runs, outputBytes, valueBytes, session: session.told },
    timeoutMs: timeoutMs ?? limits.timeoutMs,
    signal: AbortSignal.any([...ends, gate.parked]),
    onClock: (clock) => gate.follow(clock),
    onSandbox: (info) => {
      sandbox = info;
    },
    handlers: {
      onStarted: () => {
        if (sandbox === undefined) return;
        observed.started(sandbox);
        log.started(sandbox);
      },
      onOutput: (stream, text) => log.output(stream, text),
      onCall: ({ server, tool, input, signal }) =>
        broker.call({ server, tool, arguments: input }, AbortSignal.any([signal, ...ends])),
      onCheckpoint: ({ step, context }) => session.setCheckpoint(step, context),
    },
  };
}

/** Whatever else is said of a program that did something else than before. */
function diverged(
  run: ProgramRun,
  { code, message, details }: ToolFailure,
): Omit<ProgramRun, 'error'> & { readonly error: ProgramError } {
  const fields = { code, retryable: false, details };
  const error = { name: 'ToolError', message, stack: '', fields };
  return { ...run, status: 'failed', value: null, error, limit: null, exitCode: null };
}
