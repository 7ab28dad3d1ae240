import { Broker } from '../broker/broker.ts';
import type { Replay } from '../broker/replay.ts';
import type { ExecutionResult, ProgramError, SandboxInfo } from '../core/execution.ts';
import { type LoweredLimits, lowerLimits } from '../core/limits.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import type { ToolFailure } from '../core/tool-error.ts';
import type { ProgramRun } from '../executor/program-executor.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
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
export async function runProgram(
  program: RunnableProgram,
  { live, log, workspace, context }: RunsIn,
): Promise<ExecutionResult> {
  const { config, catalog, hub } = context;
  const { facts, tools, build, session, replay, isForeign = false, watch, selectMs, generateMs } = program;
  const { id } = facts;
  const limits = lowerLimits(config.limits, program.limits);
  const observed = ObservedExecution.begin(facts, program.origin ?? {}, context);
  const gate = context.approvals.openGate(live, facts.sessionId, log);
  let sandbox: SandboxInfo | null = null;
  try {
    if (!build.ok) {
      const timing = { selectMs, generateMs, totalMs: watch.total() };
      const result = await log.finish(assembleResult({ facts, refused: build.error, timing }));
      observed.ended(result);
      return result;
    }
    const executor = await context.executor();
    const waitMs = watch.lap();
    const learned = new LearnedResults(catalog);
    await using broker = new Broker({
      tools,
      limits,
      hub: learned.observeCalls(log.recordCalls(observed.traceCalls(hub))),
      customer: workspace.customer,
      runId: runKey(workspace.customer, id),
      isKeyed: (server) => !isForeign && config.mcpServers[server]?.idempotencyKey === true,
      replay,
      refusal: (tool) => catalog.refusal(tool),
      approve: (call, ended) => gate.pass(call, ended),
      ...log.brokerHooks,
    });
    const signals = [log.failed, replay?.diverged, live.signal].filter((signal) => signal !== undefined);
    gate.attach(() => broker.openCalls);
    const running = executor.execute({
      customer: workspace.customer,
      mounts: customerMounts(workspace, config),
      hold: () => workspace.tenure.share(),
      program: {
        id,
        ...build.runs,
        outputBytes: limits.outputBytes,
        valueBytes: limits.valueBytes,
        session: session.told,
      },
      timeoutMs: program.timeoutMs ?? limits.timeoutMs,
      signal: AbortSignal.any([...signals, gate.parked]),
      onClock: (clock) => gate.follow(clock),
      onSandbox: (info) => {
        sandbox = info;
      },
      handlers: {
        onStarted: () => {
          if (sandbox === null) return;
          observed.started(sandbox);
          log.started(sandbox);
        },
        onOutput: (stream, text) => log.output(stream, text),
        onCall: ({ server, tool, input, signal }) =>
          broker.call({ server, tool, arguments: input }, AbortSignal.any([signal, ...signals])),
        onCheckpoint: ({ step, context }) => session.setCheckpoint(step, context),
      },
    });
    const run = await running.catch((error) => {
      gate.leaveOpen();
      throw error;
    });
    if (run.status === 'killed' && !signals.some(({ aborted }) => aborted)) gate.leaveOpen();
    gate.assertNoneLeft();
    const divergence = replay?.end(run.status);
    // The calls that the program left open belong to its result, and into the log before its end.
    await broker.close();
    const judged =
      divergence === undefined ? { ...run, error: run.error && build.locate(run.error) } : diverged(run, divergence);
    const timing = {
      selectMs,
      generateMs,
      acquireMs: waitMs + run.acquireMs,
      runMs: run.runMs,
      totalMs: watch.total(),
    };
    const result = await log.finish(assembleResult({ facts, run: judged, calls: broker.records, timing }));
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

/** Whatever else is said of a program that did something else than before. */
function diverged(
  run: ProgramRun,
  { code, message, details }: ToolFailure,
): Omit<ProgramRun, 'error'> & { readonly error: ProgramError } {
  const fields = { code, retryable: false, details };
  const error = { name: 'ToolError', message, stack: '', fields };
  return { ...run, status: 'failed', value: null, error, limit: null, exitCode: null };
}
