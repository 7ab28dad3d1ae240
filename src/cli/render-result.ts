import type { ExecutionResult } from '../core/execution.ts';
import { toolName } from '../core/tool.ts';
import { formatDuration, formatSize } from '../core/units.ts';
import { bold, dim } from './output.ts';

/** How a run went, for people. */
export function renderResult(result: ExecutionResult): string {
  const { status, selection, sandbox, calls, timing, error, output } = result;
  const lines = [
    '',
    `${bold(status)} in ${formatDuration(timing.totalMs)}${error === null ? '' : `: ${error.stack || `${error.name}: ${error.message}`}`}`,
    row(
      'tools',
      `${selection.tools.map((tool) => `${toolName(tool)} ${tool.score.toFixed(2)}`).join(', ') || 'none'} (${selection.mode}, ${selection.considered} considered)`,
    ),
  ];
  if (result.planner !== 'none')
    lines.push(row('program', `by the ${result.planner} planner: ${result.program.trim().split('\n').at(-1)}`));
  if (calls.length > 0)
    lines.push(
      row(
        'calls',
        calls.map((call) => `${toolName(call)} ${call.ok ? '' : 'failed '}${formatDuration(call.ms)}`).join(', '),
      ),
    );
  if (output.truncated)
    lines.push(
      row(
        'output',
        `cut: the program wrote ${formatSize(output.stdoutBytes)} to stdout and ${formatSize(output.stderrBytes)} to stderr`,
      ),
    );
  if (sandbox !== null)
    lines.push(row('sandbox', `${sandbox.driver}, isolation ${sandbox.isolation}, ${sandbox.boot} start`));
  if (sandbox?.isolation === 'process')
    lines.push(row('warning', 'no virtual machine: the program shared the kernel of this host'));
  for (const warning of result.warnings) lines.push(row('warning', warning));
  const { selectMs, generateMs, acquireMs, runMs } = timing;
  lines.push(
    row(
      'times',
      `select ${formatDuration(selectMs)}, generate ${formatDuration(generateMs)}, sandbox ${formatDuration(acquireMs)}, run ${formatDuration(runMs)}`,
    ),
  );
  lines.push(row('session', `${result.sessionId} of customer ${result.customer}, execution ${result.executionId}`));
  return lines.join('\n');
}

function row(name: string, text: string): string {
  return `  ${dim(name.padEnd(8))} ${text}`;
}
