import { z } from 'zod';
import { type ExecutionEvent, LANGUAGES } from '../core/execution.ts';
import { toolName } from '../core/tool.ts';
import type { Customer } from '../workcell/customer.ts';
import type { AskPerson } from './ask-person.ts';
import { awaitExecution, awaitPaused } from './await-execution.ts';
import { executionAnswer, executionShape } from './execution-answer.ts';
import { withImages } from './execution-images.ts';
import { knownExecution, lookUpExecution, reportOfResult } from './execution-report.ts';
import { progressOf } from './progress.ts';
import { type ToolTable, traceOf } from './tool-table.ts';

const DESCRIPTION = `Run a program in a sandbox. It imports tools (import { createIssue } from 'servers/github'; in Python from servers.github import create_issue) and skills ('skills/<name>'), keeps files in /workspace, and has no network. TypeScript: await each tool call, \`return\` the value. Python: assign \`result\`. Failed tool calls throw ToolError (from 'servers/runtime') with a code. Return and print only what you need to see; a returned { type: 'image', path } is shown to you.`;

/** `execute_code` and `get_execution`. */
export function registerExecution(tools: ToolTable, customer: Customer, ask: AskPerson): void {
  tools.registerTool(
    'execute_code',
    {
      title: 'Run a program',
      description: DESCRIPTION,
      inputSchema: {
        code: z.string().describe('the program'),
        task: z.string().optional().describe('what it is for; helps to find tools later'),
        language: z.enum(LANGUAGES).default('typescript'),
        session: z.string().optional().describe('groups executions; any name'),
        timeout_ms: z.int().positive().optional(),
      },
      outputSchema: executionShape,
      annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: false, openWorldHint: true },
    },
    async ({ code, task, language, session, timeout_ms: timeoutMs }, extra) => {
      const tell = progressOf(extra);
      tell({ progress: 1, message: 'preparing the program and a sandbox' });
      const { signal } = extra;
      let step = 1;
      const onEvent = (event: ExecutionEvent) => {
        const message = textOf(event);
        if (message !== undefined) tell({ progress: ++step, message });
      };
      const trace = traceOf(extra);
      const request = { code, task, language, session, timeoutMs, typeCheck: true, signal, trace, onEvent };
      const { id, result } = await customer.start(request);
      const finished = await awaitExecution(customer, { id, finished: result() }, ask, extra);
      const report = finished === undefined ? await lookUpExecution(customer, id) : reportOfResult(finished);
      return executionAnswer(await withImages(report, customer), customer.id);
    },
  );
  tools.registerTool(
    'get_execution',
    {
      title: 'Look up an execution',
      description: 'What an execution gave, or that it still runs; waits for one that is paused.',
      inputSchema: { execution_id: z.string() },
      outputSchema: executionShape,
      annotations: { readOnlyHint: true, idempotentHint: true, openWorldHint: false },
    },
    async ({ execution_id: id }, extra) => {
      await knownExecution(customer, id);
      await customer.sweepApprovals(id);
      const { state, approvals } = await customer.executionSummary(id);
      if (state === 'paused') await awaitPaused(customer, id, ask, extra, approvals);
      return executionAnswer(await withImages(await lookUpExecution(customer, id), customer), customer.id);
    },
  );
}

function textOf(event: ExecutionEvent): string | undefined {
  if (event.type === 'started') return `running (${event.sandbox.boot} sandbox)`;
  if (event.type === 'tool.called') return `call ${event.call}: ${toolName(event)}`;
  if (event.type === 'approval.required') return `call ${event.approval.call} waits to be approved`;
  return undefined;
}
