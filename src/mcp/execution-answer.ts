import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import type { PendingApproval } from '../core/execution.ts';
import type { CustomerId } from '../core/ids.ts';
import { toolName } from '../core/tool.ts';
import { formatDuration } from '../core/units.ts';
import { clip } from './clip.ts';
import type { ReportWithImages } from './execution-images.ts';
import { executionUri } from './execution-parts.ts';
import type { ExecutionReport } from './execution-report.ts';

/** `structuredContent` of an execution. */
export const executionShape = {
  execution_id: z.string(),
  session: z.string(),
  status: z.string(),
  /** JSON; left out when it is too large to show. */
  value: z.unknown().optional(),
  output: z.string(),
  error: z.object({ name: z.string(), message: z.string(), line: z.int().optional() }).optional(),
  approvals: z.array(z.object({ id: z.string(), tool: z.string() })).optional(),
  truncated: z.boolean(),
};

/** Of a program that did not complete, the model is told as of an error that it can mend. */
export function executionAnswer(report: ReportWithImages, customer: CustomerId): CallToolResult {
  const { executionId, session, status, error, warnings } = report;
  const json = report.value === null ? undefined : JSON.stringify(report.value);
  const value = json === undefined ? undefined : clip(json);
  const output = clip(report.output);
  const links = [
    ...(value?.isWhole === false ? [link(executionId, 'value', 'the whole value, as JSON')] : []),
    ...(output.isWhole ? [] : [link(executionId, 'output', 'all that it printed')]),
  ];
  const text = [
    `${status}${report.ms === null ? '' : ` in ${formatDuration(report.ms)}`} (execution ${executionId}, session ${session})`,
    ...warnings.map((warning) => `warning: ${warning}`),
    ...(value === undefined ? [] : [`value: ${value.text}`]),
    ...(output.text === '' ? [] : [`output:\n${output.text}`]),
    ...(error === null ? [] : [clip(error.stack || `${error.name}: ${error.message}`).text]),
    ...(report.calls.length === 0 ? [] : [`calls: ${report.calls.map(callText).join(', ')}`]),
    ...report.approvals.map((approval) => approvalText(approval, customer)),
    ...nextStep(status),
  ].join('\n');
  return {
    content: [{ type: 'text', text }, ...report.images, ...links],
    structuredContent: {
      execution_id: executionId,
      session,
      status,
      ...(value?.isWhole === true ? { value: report.value } : {}),
      output: output.text,
      ...(error === null ? {} : { error: { name: error.name, message: clip(error.message).text, line: error.line } }),
      ...(report.approvals.length === 0 ? {} : { approvals: report.approvals.map(toApproval) }),
      truncated: links.length > 0,
    },
    ...(FINE.has(status) ? {} : { isError: true }),
  };
}

const FINE: ReadonlySet<string> = new Set(['completed', 'running', 'paused']);

function nextStep(status: string): readonly string[] {
  if (status === 'running' || status === 'paused') return ['Ask again with get_execution'];
  if (status !== 'interrupted') return [];
  return [
    'It was cut off, and calls that it made may have taken effect: find out, then run what is left with execute_code',
  ];
}

function link(executionId: string, part: 'value' | 'output', description: string) {
  const mimeType = part === 'value' ? 'application/json' : 'text/plain';
  return { type: 'resource_link' as const, uri: executionUri(executionId, part), name: part, description, mimeType };
}

function toApproval(approval: PendingApproval): { id: string; tool: string } {
  return { id: approval.approvalId, tool: toolName(approval) };
}

/** Whom the model can ask: it decides on nothing itself. */
export function approvalText(approval: PendingApproval, customer: CustomerId): string {
  const { approvalId, arguments: args } = approval;
  const sent = clip(JSON.stringify(args), SHOWN_ARGUMENTS).text;
  return `a person has to approve ${toolName(approval)}(${sent}): workcell approvals approve ${approvalId} --customer ${customer}; or POST /customers/${customer}/approvals/${approvalId}`;
}

const SHOWN_ARGUMENTS = 1_000;

function callText(call: ExecutionReport['calls'][number]): string {
  return call.ok ? toolName(call) : `${toolName(call)} (${call.error?.code ?? 'failed'})`;
}
