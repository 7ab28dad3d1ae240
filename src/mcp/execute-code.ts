import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js';
import type { ServerNotification, ServerRequest } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { type ExecutionEvent, LANGUAGES } from '../core/execution.ts';
import { toolName } from '../core/tool.ts';
import type { Customer } from '../workcell/customer.ts';
import { executionAnswer, executionShape } from './execution-answer.ts';
import { lookUpExecution, reportOfResult } from './execution-report.ts';
import { answering } from './tool-answer.ts';

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;

const DESCRIPTION = `Run a program in a sandbox. It imports tools (import { createIssue } from 'servers/github'; in Python from servers.github import create_issue) and skills ('skills/<name>'), keeps files in /workspace, and has no network. TypeScript: await each tool call, \`return\` the value. Python: assign \`result\`. Failed tool calls throw ToolError (from 'servers/runtime') with a code. Return and print only what you need to see.`;

/** `execute_code` and `get_execution`. */
export function registerExecution(server: McpServer, customer: Customer): void {
  server.registerTool(
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
    ({ code, task, language, session, timeout_ms: timeoutMs }, extra) =>
      answering(async () => {
        const tell = progressOf(extra);
        tell('preparing the program and a sandbox');
        const { signal } = extra;
        const onEvent = (event: ExecutionEvent) => tell(textOf(event));
        return executionAnswer(
          reportOfResult(
            await customer.execute({ code, task, language, session, timeoutMs, typeCheck: true, signal, onEvent }),
          ),
        );
      }),
  );
  server.registerTool(
    'get_execution',
    {
      title: 'Look up an execution',
      description: 'What an execution gave, or that it still runs.',
      inputSchema: { execution_id: z.string() },
      outputSchema: executionShape,
      annotations: { readOnlyHint: true, idempotentHint: true, openWorldHint: false },
    },
    ({ execution_id: id }) => answering(async () => executionAnswer(await lookUpExecution(customer, id))),
  );
}

/** Tells a client that asked for it how far its call is. */
function progressOf({ _meta, sendNotification }: Extra): (message: string | undefined) => void {
  const progressToken = _meta?.progressToken;
  let progress = 0;
  return (message) => {
    if (progressToken === undefined || message === undefined) return;
    progress += 1;
    const params = { progressToken, progress, message };
    // A client that is gone has no use for it, and is told in no other way.
    sendNotification({ method: 'notifications/progress', params }).catch(() => {});
  };
}

function textOf(event: ExecutionEvent): string | undefined {
  if (event.type === 'started') return `running (${event.sandbox.boot} sandbox)`;
  if (event.type === 'tool.called') return `call ${event.call}: ${toolName(event)}`;
  return undefined;
}
