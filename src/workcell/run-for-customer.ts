import { SkillShelf } from '../catalog/skill-shelf.ts';
import type { ExecutionResult } from '../core/execution.ts';
import { parseSessionId } from '../core/ids.ts';
import type { ExecutionHistory } from '../sessions/execution-history.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import type { CustomerContext } from './customer-context.ts';
import type { CustomerFolder } from './customer-state.ts';
import { execute } from './execute.ts';
import type { ExecuteRequest } from './execute-request.ts';
import type { ExecutionContext } from './execution-context.ts';
import type { LiveExecution } from './live-execution.ts';
import type { Admission } from './quotas.ts';
import { type ResumeOptions, resume } from './resume.ts';
import { findHistory, rememberTools } from './tool-history.ts';

/** Runs a program with what a customer has, within its quotas. What they refuse leaves nothing on disk. */
export async function runForCustomer(
  live: LiveExecution,
  request: ExecuteRequest,
  folder: CustomerFolder,
  context: CustomerContext,
): Promise<ExecutionResult> {
  const { workspace, sessions, usage } = folder;
  const timeoutMs = request.timeoutMs ?? context.config.limits.timeoutMs;
  await using admission = await context.quotas.admit(workspace, { timeoutMs, signal: live.signal });
  // A program that does not compile never runs; whoever learns of its end finds room for the next all the same.
  void live.finished.then(() => admission.release());
  await using session =
    request.session === undefined
      ? await sessions.create()
      : await sessions.openOrCreate(parseSessionId(request.session));
  const history = await findHistory(usage, context, workspace.customer);
  const own = { ...contextOf(folder, context, admission), history };
  const result = await execute(live, request, workspace, session, own);
  await rememberTools(usage, context, request.task, result);
  return result;
}

export interface Resumed {
  readonly options: ResumeOptions;
  readonly session: SessionLog;
  readonly recorded: ExecutionHistory;
}

/** As {@link runForCustomer}, for an execution that is on disk. */
export async function resumeForCustomer(
  live: LiveExecution,
  { options, session, recorded }: Resumed,
  folder: CustomerFolder,
  context: CustomerContext,
): Promise<ExecutionResult> {
  const { workspace } = folder;
  const timeoutMs = recorded.started.request?.timeoutMs ?? context.config.limits.timeoutMs;
  await using admission = await context.quotas.admit(workspace, { timeoutMs, signal: live.signal });
  return await resume(live, options, workspace, session, contextOf(folder, context, admission));
}

function contextOf(
  { skills, approvals }: CustomerFolder,
  context: CustomerContext,
  admission: Admission,
): ExecutionContext {
  return {
    ...context,
    approvals,
    skills: new SkillShelf([skills, context.sharedSkills]),
    executor: async () => admission.metered(await context.executor()),
  };
}
