import { Broker } from '../broker/broker.ts';
import type { SkillShelf } from '../catalog/skill-shelf.ts';
import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import type { CodeGenerator } from '../codegen/program.ts';
import type { TypeChecker } from '../codegen/type-checker.ts';
import type { Config } from '../config/config.ts';
import { WorkcellError } from '../core/errors.ts';
import {
  type ExecutionEvent,
  type ExecutionResult,
  LANGUAGES,
  type Language,
  type SandboxInfo,
} from '../core/execution.ts';
import { newExecutionId } from '../core/ids.ts';
import type { ProgramExecutor } from '../executor/program-executor.ts';
import type { Retriever } from '../selector/retriever.ts';
import type { ToolSelector } from '../selector/tool-selector.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import type { UpstreamHub } from '../upstream/upstream-hub.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import { assembleResult } from './assemble-result.ts';
import { chooseTools } from './choose-tools.ts';
import type { CustomerApprovals } from './customer-approvals.ts';
import { customerMounts } from './customer-mounts.ts';
import { ExecutionLog } from './execution-log.ts';
import { importedSkills, staleWarnings } from './imported-skills.ts';
import { LearnedResults } from './learned-results.ts';
import { planProgram } from './plan-program.ts';
import { prepareProgram } from './prepare-program.ts';
import { Stopwatch } from './stopwatch.ts';

/** One program, given as code or as a task in words. */
export interface ExecuteRequest {
  /** What is to be done; chooses the tools, and alone is turned into a call of the one that fits best. */
  readonly task?: string | undefined;
  readonly code?: string | undefined;
  /** What `code` is written in; default TypeScript. A task alone becomes TypeScript whatever this says. */
  readonly language?: Language | undefined;
  /** `server.tool` each: exactly these tools may be called, whatever the task says. */
  readonly tools?: readonly string[] | undefined;
  /** The session to record it in; one that does not exist is created. Default: a new one. */
  readonly session?: string | undefined;
  /** Ends the program; its result is `killed`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds of running; default `limits.timeout` of the configuration. */
  readonly timeoutMs?: number | undefined;
  /** Answers a program that calls a tool wrongly with the mistakes at its lines, before anything of it runs. Default false. */
  readonly typeCheck?: boolean | undefined;
  readonly onEvent?: ((event: ExecutionEvent) => void) | undefined;
}

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
  /** Ids of this customer's executions that are under way. */
  readonly running: Set<string>;
  readonly approvals: Pick<CustomerApprovals, 'openGate'>;
}

/** Runs one program of a customer. Whatever the program does is the result; rejects when something under it fails. */
export async function execute(
  request: ExecuteRequest,
  workspace: Workspace,
  session: SessionLog,
  context: ExecutionContext,
): Promise<ExecutionResult> {
  const { config, catalog, generator, hub, typeChecker } = context;
  const id = newExecutionId();
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
  const log = await ExecutionLog.start(session, { ...facts, task: request.task ?? null }, request.onEvent);
  const gate = await context.approvals.openGate({ session, executionId: id, log, isResumed: false });
  let sandbox: SandboxInfo | null = null;
  context.running.add(id);
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
      approve: (call, signal) => gate.pass(call, signal),
      ...log.brokerHooks,
    });
    gate.attach(() => broker.openCalls);
    const running = executor.execute({
      customer: workspace.customer,
      mounts: customerMounts(workspace, config),
      program: {
        id,
        ...build.runs,
        outputBytes: config.limits.outputBytes,
        valueBytes: config.limits.valueBytes,
      },
      timeoutMs: request.timeoutMs ?? config.limits.timeoutMs,
      signal: either(gate.parked, request.signal),
      onDeadline: (deadline) => gate.follow(deadline),
      onSandbox: (info) => {
        sandbox = info;
      },
      handlers: {
        onStarted: () => {
          if (sandbox !== null) log.started(sandbox);
        },
        onOutput: (stream, text) => log.output(stream, text),
        onCall: ({ server, tool, input, signal }) =>
          broker.call({ server, tool, arguments: input }, either(signal, request.signal)),
      },
    });
    // What is under the program failed, or it has waited for long enough: its calls wait on without it.
    const run = await running.catch((error) => {
      gate.leaveOpen(request.signal);
      throw error;
    });
    if (run.status === 'killed') gate.leaveOpen(request.signal);
    // The calls that the program left open belong to its result, and into the log before its end.
    await broker.close();
    gate.assertNoneLeft();
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
    gate.assertNoneLeft(error);
    throw await log.interrupt(error);
  } finally {
    gate.close();
    context.running.delete(id);
  }
}

/** What the program of this request is written in. */
function languageOf({ code, language }: Pick<ExecuteRequest, 'code' | 'language'>): Language {
  return code === undefined ? 'typescript' : (language ?? 'typescript');
}

function either(call: AbortSignal, request: AbortSignal | undefined): AbortSignal {
  return request === undefined ? call : AbortSignal.any([call, request]);
}

function assertRequest({ code, language, timeoutMs }: ExecuteRequest, codeBytes: number): void {
  if (language !== undefined && !LANGUAGES.includes(language)) {
    throw new WorkcellError(
      'invalid_argument',
      `There are no programs in ${JSON.stringify(language)}; the languages are ${LANGUAGES.join(' and ')}`,
    );
  }
  if (timeoutMs !== undefined && !(timeoutMs > 0)) {
    throw new WorkcellError('invalid_argument', `A timeout of ${timeoutMs} ms is none; give more than 0`);
  }
  const bytes = Buffer.byteLength(code ?? '');
  if (bytes <= codeBytes) return;
  throw new WorkcellError(
    'invalid_argument',
    `The program is ${bytes} bytes, over the limit of ${codeBytes}; put data into files of the workspace`,
  );
}
