import { WorkcellError } from '../core/errors.ts';
import { type ExecutionEvent, type ExecutionResult, LANGUAGES, type Language } from '../core/execution.ts';
import { newExecutionId } from '../core/ids.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import { recallSession } from '../sessions/session-memory.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import { chooseTools } from './choose-tools.ts';
import type { ExecutionContext } from './execution-context.ts';
import { ExecutionLog, type RecordedRequest } from './execution-log.ts';
import { importedSkills, staleWarnings } from './imported-skills.ts';
import { planProgram } from './plan-program.ts';
import { prepareProgram } from './prepare-program.ts';
import { runProgram } from './run-program.ts';
import { SessionOfProgram } from './session-of-program.ts';
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

/** Runs one program of a customer. Whatever the program does is the result; rejects when something under it fails. */
export async function execute(
  request: ExecuteRequest,
  workspace: Workspace,
  session: SessionLog,
  context: ExecutionContext,
): Promise<ExecutionResult> {
  const { config, catalog, generator, typeChecker } = context;
  const id = newExecutionId();
  const watch = new Stopwatch();
  assertRequest(request, config.limits.codeBytes);
  const { checkpoint, history, isClosed } = (await recallSession(session.read())).remembered;
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
  const { task = null, timeoutMs, signal } = request;
  const log = await ExecutionLog.start(session, { ...facts, task, request: recordedRequest(request) }, request.onEvent);
  const told = { id: session.id, attempt: 1, checkpoint, history };
  const sessionOfProgram = new SessionOfProgram({ log, told, task });
  return await runProgram(
    { facts, tools, build, session: sessionOfProgram, watch, selectMs, generateMs, timeoutMs, signal },
    { log, workspace, context },
  );
}

/** What it takes to run it again. */
function recordedRequest({ code, tools, timeoutMs, typeCheck }: ExecuteRequest): RecordedRequest {
  return { code: code ?? null, tools: tools ?? null, timeoutMs: timeoutMs ?? null, typeCheck: typeCheck ?? false };
}

/** What the program of this request is written in. */
function languageOf({ code, language }: Pick<ExecuteRequest, 'code' | 'language'>): Language {
  return code === undefined ? 'typescript' : (language ?? 'typescript');
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
