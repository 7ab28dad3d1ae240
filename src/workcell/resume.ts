import { Replay } from '../broker/replay.ts';
import { programTools } from '../codegen/program-tools.ts';
import { WorkcellError } from '../core/errors.ts';
import type { ExecutionResult } from '../core/execution.ts';
import type { CustomerId, ExecutionId } from '../core/ids.ts';
import type { Selection } from '../core/selection.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import { FIELD_LIMITS } from '../sessions/bound-event.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import type { SessionReader } from '../sessions/session-reader.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import type { ExecutionContext } from './execution-context.ts';
import { ExecutionLog } from './execution-log.ts';
import { type InterruptedExecution, readInterrupted } from './interrupted-execution.ts';
import type { LiveExecution } from './live-execution.ts';
import { planProgram } from './plan-program.ts';
import { type PreparedProgram, prepareProgram } from './prepare-program.ts';
import { runProgram } from './run-program.ts';
import { SessionOfProgram } from './session-of-program.ts';
import { Stopwatch } from './stopwatch.ts';

export interface ResumeOptions {
  /**
   * Whether calls that had returned are answered from the log, so that none takes effect twice. Without it the program is run
   * from its beginning, with the latest checkpoint, and makes all of its calls.
   */
  readonly replay: boolean;
}

/**
 * Runs the program of an execution that was cut off again, under the same id: the same code with the same tools and limits, in
 * the workspace as it is. Throws `not_found`, and `invalid_state` for an execution that has an outcome or cannot be prepared any
 * more; nothing is recorded then.
 */
export async function resume(
  live: LiveExecution,
  { replay }: ResumeOptions,
  workspace: Workspace,
  session: SessionLog,
  context: ExecutionContext,
): Promise<ExecutionResult> {
  const { id } = live;
  const reader = await session.openReader();
  const interrupted = await readInterrupted(id, reader);
  const { started, attempts, calls, lastCall, first, latest, checkpoints } = interrupted;
  const { request, task } = started;
  const watch = new Stopwatch();
  const { tools, build } = await prepareAgain(id, interrupted, context);
  const generateMs = watch.lap();
  const { selection, planner, language, program, warnings = [] } = started;
  const facts = {
    id,
    customer: workspace.customer,
    sessionId: session.id,
    // What was read as JSON has no field that is undefined, which the types of schemas cannot tell.
    selection: selection as Selection,
    planner,
    language,
    program,
    warnings,
  };
  const attempt = attempts + 1;
  const log = await ExecutionLog.resume(session, { facts, attempt, replay }, live);
  const { checkpoint, history } = replay ? first : latest;
  const told = { id: session.id, attempt, checkpoint, history };
  const { arguments: keptBytes = 0 } = FIELD_LIMITS;
  return await runProgram(
    {
      facts,
      tools,
      build,
      replay: new Replay({ calls: replay ? calls : [], lastCall, keptBytes }),
      isForeign: await isForeign(reader, workspace.customer),
      session: new SessionOfProgram({ log, told, task, replayed: replay ? checkpoints : [] }),
      timeoutMs: request.timeoutMs ?? undefined,
      limits: request.limits,
      watch,
      selectMs: 0,
      generateMs,
    },
    { live, log, workspace, context },
  );
}

/** Whether its session came from another customer, whose calls had other keys of idempotency. */
async function isForeign(reader: SessionReader, customer: CustomerId): Promise<boolean> {
  const created = await reader.last('session.created');
  return created !== undefined && created.customer !== customer;
}

async function prepareAgain(
  id: ExecutionId,
  { started }: InterruptedExecution,
  { catalog, generator, skills, typeChecker, config }: ExecutionContext,
): Promise<{ readonly tools: readonly ToolDescriptor[]; readonly build: PreparedProgram['build'] }> {
  const { selection, language, request, task } = started;
  const code = request.code ?? undefined;
  // One that is gone is missed only by a program that still needs it.
  const tools = selection.tools.flatMap((selected) => catalog.find(toolName(selected)) ?? []);
  const imported = selection.mode === 'imports' ? programTools(code ?? '', language, catalog.list()) : tools;
  const offered = tools.filter((tool) => imported.includes(tool));
  const { body, called } = planProgram({ task: task ?? undefined, code }, selection as Selection, offered);
  const { build } = await prepareProgram(
    { language, body, called, callable: tools },
    {
      generator,
      catalog,
      skills,
      // A program in TypeScript was checked before it first ran.
      typeChecker: request.typeCheck && language === 'python' ? typeChecker : undefined,
      hasServers: config.sandbox.protocol !== 'rpc',
    },
  );
  if (build.ok) return { tools, build };
  throw new WorkcellError(
    'invalid_state',
    `Cannot resume the execution "${id}": its program does not compile any more (${build.error.message}); bring back the tools that it uses, or run it anew`,
  );
}
