import { Broker } from '../broker/broker.ts';
import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import type { Config } from '../config/config.ts';
import { WorkcellError } from '../core/errors.ts';
import type { ExecutionEvent, ExecutionResult, PendingApproval } from '../core/execution.ts';
import type { Selection } from '../core/selection.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';
import type { ToolErrorData, ToolOutcome, ToolProgress } from '../core/tool-error.ts';
import type { TraceContext } from '../core/trace-context.ts';
import type { SessionLog } from '../sessions/session-log.ts';
import type { CallResult } from '../upstream/tool-result.ts';
import type { UpstreamHub } from '../upstream/upstream-hub.ts';
import type { Workspace } from '../workspaces/workspace-store.ts';
import type { CustomerApprovals } from './customer-approvals.ts';
import { ExecutionLog } from './execution-log.ts';
import type { LiveExecution } from './live-execution.ts';
import { runKey } from './run-key.ts';
import { Stopwatch } from './stopwatch.ts';

/** One call of a tool, without a program. */
export interface ToolCallRequest {
  /** `server.tool`. */
  readonly tool: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal | undefined;
  /** Told at most ten times a second. */
  readonly onProgress?: ((progress: ToolProgress) => void) | undefined;
  /** Told when the call waits to be approved. One that resolves with false wants it to wait no longer: then it is paused. */
  readonly onApproval?: ((approval: PendingApproval) => Promise<boolean>) | undefined;
  /** Told to the tool's server. */
  readonly trace?: TraceContext | undefined;
}

export type { CallResult };

/** What the tool gave: its value as programs get it, and the whole answer of its server, where that is a tool's result. */
export type ToolCallAnswer =
  | { readonly ok: true; readonly value: unknown; readonly result: CallResult | undefined }
  | { readonly ok: false; readonly error: ToolErrorData };

interface CallContext {
  readonly config: Pick<Config, 'limits'>;
  readonly catalog: ToolCatalog;
  readonly hub: UpstreamHub;
  readonly approvals: Pick<CustomerApprovals, 'openGate'>;
  readonly onAnswer: (answer: ToolCallAnswer) => void;
}

/**
 * Calls a tool for a customer as a program would, with the same checks, and without a sandbox. In the session it is an execution
 * of the program that makes this one call. Throws `not_found`, and when the session cannot be written. `onAnswer` is told what the call gave, before its end is told.
 */
export async function callTool(
  live: LiveExecution,
  request: ToolCallRequest,
  workspace: Workspace,
  session: SessionLog,
  { config, catalog, hub, approvals, onAnswer }: CallContext,
): Promise<ExecutionResult> {
  const tool = catalog.get(request.tool);
  if (tool.kind === 'module')
    throw new WorkcellError('unsupported', `"${toolName(tool)}" runs in sandboxes only; call it from a program`);
  const watch = new Stopwatch();
  const facts = {
    id: live.id,
    customer: workspace.customer,
    sessionId: session.id,
    selection: selectionOf(tool, catalog.list().length),
    planner: 'none' as const,
    language: 'typescript' as const,
    program: programOf(tool, request.arguments),
    warnings: [],
  };
  const { onProgress, onApproval, trace } = request;
  const onEvent = (event: ExecutionEvent) => {
    if (event.type === 'tool.progress') onProgress?.(event);
    else if (event.type === 'approval.required') void waitFor(event.approval);
  };
  const waitFor = async (approval: PendingApproval) => {
    if ((await onApproval?.(approval)) === false) gate.park([approval]);
  };
  const asked = { code: facts.program, tools: [toolName(tool)], onEvent };
  const log = await ExecutionLog.start(session, facts, asked, live);
  const gate = approvals.openGate(live, session.id, log);
  try {
    let result: CallResult | undefined;
    const onResult = (whole: CallResult) => {
      result = whole;
    };
    const recorded = log.recordCalls(hub);
    await using broker = new Broker({
      tools: [tool],
      limits: config.limits,
      hub: { callTool: (call) => recorded.callTool({ ...call, onResult, trace }) },
      customer: workspace.customer,
      runId: runKey(workspace.customer, facts.id),
      approve: (call, ended) => gate.pass(call, ended),
      ...log.brokerHooks,
    });
    gate.attach(() => broker.openCalls);
    const outcome = await Promise.race([
      broker.call({ ...tool, arguments: request.arguments }, live.signal),
      gate.untilParked(),
    ]);
    const totalMs = watch.total();
    const timing = { selectMs: 0, generateMs: 0, acquireMs: 0, runMs: totalMs, totalMs };
    const finished = await log.finish({
      ...facts,
      ...endOf(outcome, live.signal),
      executionId: facts.id,
      calls: broker.records,
      timing,
    });
    onAnswer(outcome.ok ? { ...outcome, result } : outcome);
    return finished;
  } catch (error) {
    gate.assertNoneLeft(error);
    throw await log.interrupt(error);
  } finally {
    gate.close();
  }
}

function selectionOf({ server, tool }: ToolDescriptor, considered: number): Selection {
  return {
    mode: 'explicit',
    considered,
    tools: [{ server, tool, score: 1, reasons: ['called by name'] }],
    noMatch: null,
  };
}

/** The program that makes the call. */
function programOf({ server, identifier }: ToolDescriptor, args: ToolCallRequest['arguments']): string {
  return `import { ${identifier} } from 'servers/${server}';\n\nreturn await ${identifier}(${JSON.stringify(args)});`;
}

function endOf(outcome: ToolOutcome, signal: AbortSignal) {
  const error = outcome.ok ? null : { name: 'ToolError', message: outcome.error.message, stack: '' };
  const status = outcome.ok ? 'completed' : signal.aborted ? 'killed' : 'failed';
  return {
    status,
    value: outcome.ok ? outcome.value : null,
    error,
    stdout: '',
    stderr: '',
    output: { stdoutBytes: 0, stderrBytes: 0, truncated: false },
    limit: null,
    exitCode: null,
    sandbox: null,
  } as const;
}
