import { Broker } from '../broker/broker.ts';
import type { SkillShelf } from '../catalog/skill-shelf.ts';
import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import type { CodeGenerator } from '../codegen/program.ts';
import type { TypeChecker } from '../codegen/type-checker.ts';
import type { Config } from '../config/config.ts';
import type { ExecutionResult, SandboxInfo } from '../core/execution.ts';
import type { ProgramExecutor } from '../executor/program-executor.ts';
import type { Retriever } from '../selector/retriever.ts';
import type { ToolSelector } from '../selector/tool-selector.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import type { UpstreamHub } from '../upstream/upstream-hub.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import { assembleResult } from './assemble-result.ts';
import { chooseTools } from './choose-tools.ts';
import { customerMounts } from './customer-mounts.ts';
import { assertRequest, type ExecuteRequest, languageOf } from './execute-request.ts';
import { ExecutionLog } from './execution-log.ts';
import { importedSkills, staleWarnings } from './imported-skills.ts';
import { LearnedResults } from './learned-results.ts';
import type { LiveExecution } from './live-execution.ts';
import { planProgram } from './plan-program.ts';
import { prepareProgram } from './prepare-program.ts';
import { Stopwatch } from './stopwatch.ts';

/** What executions share. */
export interface ExecutionContext {
  readonly config: Config;
  readonly catalog: ToolCatalog;
  readonly selector: ToolSelector;
  readonly generator: CodeGenerator;
  readonly typeChecker: TypeChecker;
  readonly hub: UpstreamHub;
  /** Those that this customer sees. */
  readonly skills: SkillShelf;
  /** Finds tools by what they were used for by this customer; absent when nothing is remembered. */
  readonly history?: Retriever | undefined;
  /** The servers that cannot be called at the moment, and why. */
  readonly unavailable: ReadonlyMap<string, string>;
  readonly executor: () => Promise<ProgramExecutor>;
  /** Told of the structure of the results that the program's calls gave; never rejects. */
  readonly learn: (results: LearnedResults) => Promise<void>;
}

/** Runs one program of a customer. Whatever the program does is the result; rejects when something under it fails. */
export async function execute(
  live: LiveExecution,
  request: ExecuteRequest,
  workspace: Workspace,
  session: SessionLog,
  context: ExecutionContext,
): Promise<ExecutionResult> {
  const { config, catalog, generator, hub, typeChecker } = context;
  const { id, signal } = live;
  const watch = new Stopwatch();
  assertRequest(request, config.limits.codeBytes);
  const language = languageOf(request);
  const skills = await importedSkills({ code: request.code ?? '', language }, context.skills, catalog);
  const { selection, tools, offered } = await chooseTools({ ...request, language }, { ...context, skills });
  const selectMs = watch.lap();
  const { body, called, planner } = planProgram(request, selection, offered);
  const { source, build, warnings } = await prepareProgram(
    { language, body, called, callable: tools },
    {
      generator,
      catalog,
      skills: context.skills,
      typeChecker: request.typeCheck === true ? typeChecker : undefined,
      hasServers: config.sandbox.protocol !== 'rpc',
    },
  );
  const generateMs = watch.lap();
  const facts = {
    id,
    customer: workspace.customer,
    sessionId: session.id,
    selection,
    planner,
    language,
    program: source,
    warnings: [...warnings, ...staleWarnings(skills)],
  };
  const log = await ExecutionLog.start(session, facts, request, live);
  let sandbox: SandboxInfo | null = null;
  try {
    if (!build.ok)
      return await log.finish(
        assembleResult({ facts, refused: build.error, timing: { selectMs, generateMs, totalMs: watch.total() } }),
      );
    const executor = await context.executor();
    const waitMs = watch.lap();
    const learned = new LearnedResults(catalog);
    await using broker = new Broker({
      tools,
      limits: config.limits,
      hub: learned.observeCalls(log.recordCalls(hub)),
      customer: workspace.customer,
      refusal: (tool) => catalog.refusal(tool),
      ...log.brokerHooks,
    });
    const run = await executor.execute({
      customer: workspace.customer,
      mounts: customerMounts(workspace, config),
      program: {
        id,
        ...build.runs,
        outputBytes: config.limits.outputBytes,
        valueBytes: config.limits.valueBytes,
      },
      timeoutMs: request.timeoutMs ?? config.limits.timeoutMs,
      signal: AbortSignal.any([log.failed, signal]),
      onSandbox: (info) => {
        sandbox = info;
      },
      handlers: {
        onStarted: () => {
          if (sandbox !== null) log.started(sandbox);
        },
        onOutput: (stream, text) => log.output(stream, text),
        onCall: ({ server, tool, input, signal: abandoned }) =>
          broker.call({ server, tool, arguments: input }, AbortSignal.any([abandoned, signal])),
      },
    });
    // The calls that the program left open belong to its result, and into the log before its end.
    await broker.close();
    const error = run.error === null ? null : build.locate(run.error);
    const timing = {
      selectMs,
      generateMs,
      acquireMs: waitMs + run.acquireMs,
      runMs: run.runMs,
      totalMs: watch.total(),
    };
    const result = await log.finish(assembleResult({ facts, run: { ...run, error }, calls: broker.records, timing }));
    await context.learn(learned);
    return result;
  } catch (error) {
    throw await log.interrupt(error);
  }
}
