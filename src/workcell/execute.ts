import { WorkcellError } from '../core/errors.ts';
import type { ExecutionResult } from '../core/execution.ts';
import { recallSession } from '../sessions/recall-session.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import { SessionMemory } from '../sessions/session-memory.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import { chooseTools } from './choose-tools.ts';
import { assertRequest, type ExecuteRequest, languageOf } from './execute-request.ts';
import type { ExecutionContext } from './execution-context.ts';
import { ExecutionLog } from './execution-log.ts';
import { importedSkills, staleWarnings } from './imported-skills.ts';
import type { LiveExecution } from './live-execution.ts';
import { planProgram } from './plan-program.ts';
import { prepareProgram } from './prepare-program.ts';
import { runProgram } from './run-program.ts';
import { SessionOfProgram } from './session-of-program.ts';
import { Stopwatch } from './stopwatch.ts';

/** Runs one program of a customer. Whatever the program does is the result; rejects when something under it fails. */
export async function execute(
  live: LiveExecution,
  request: ExecuteRequest,
  workspace: Workspace,
  session: SessionLog,
  context: ExecutionContext,
): Promise<ExecutionResult> {
  const { config, catalog, generator, typeChecker } = context;
  const { id } = live;
  const watch = new Stopwatch();
  assertRequest(request, config.limits.codeBytes);
  const memory = session.isEmpty ? new SessionMemory() : await recallSession(await session.openReader());
  const { checkpoint, history, isClosed } = memory.remembered;
  if (isClosed) {
    const message = `The session "${session.id}" is closed; resume it first, or run in another one`;
    throw new WorkcellError('invalid_state', message);
  }
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
  const { task = null, timeoutMs, limits } = request;
  const told = { id: session.id, attempt: 1, checkpoint, history };
  const sessionOfProgram = new SessionOfProgram({ log, told, task });
  return await runProgram(
    { facts, tools, build, session: sessionOfProgram, watch, selectMs, generateMs, timeoutMs, limits, origin: request },
    { live, log, workspace, context },
  );
}
