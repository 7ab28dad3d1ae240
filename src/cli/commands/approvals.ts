import { userInfo } from 'node:os';
import { Command } from 'commander';
import type { ExecutionId } from '../../core/ids.ts';
import { toolName } from '../../core/tool.ts';
import type { Customer } from '../../workcell/customer.ts';
import { openCell } from '../open-cell.ts';
import { print, printJson, say, sayProgress, table } from '../output.ts';

interface DecideFlags {
  readonly customer: string;
  readonly reason?: string;
  readonly json?: true;
}

/** `workcell approvals`: tool calls that wait until somebody has approved them. A server may run meanwhile, and notices. */
export function approvalsCommand(): Command {
  return new Command('approvals')
    .description('tool calls that wait to be approved, as requireApproval of their server says')
    .addCommand(listCommand())
    .addCommand(decideCommand('approve', 'let a call be made, this once'))
    .addCommand(decideCommand('reject', 'fail a call; its program may catch that'));
}

function listCommand(): Command {
  return new Command('list')
    .description('what waits for a decision, oldest first')
    .option('--customer <id>', 'whose', 'default')
    .option('--json', 'print everything as JSON')
    .addHelpText('after', '\nExample:\n  workcell approvals list --customer acme --json')
    .action(async (options: { customer: string; json?: true }, command: Command) => {
      await using cell = await openCell(command);
      const approvals = await cell.customer(options.customer).listApprovals();
      if (options.json === true) return printJson(approvals);
      if (approvals.length === 0) return say('Nothing waits to be approved');
      const rows = approvals.map((approval) => [
        approval.approvalId,
        approval.requestedAt,
        toolName(approval),
        JSON.stringify(approval.arguments),
      ]);
      print(table([['ID', 'SINCE', 'TOOL', 'ARGUMENTS'], ...rows]));
    });
}

function decideCommand(name: 'approve' | 'reject', description: string): Command {
  return new Command(name)
    .description(description)
    .argument('<id>', 'the approval, as in: workcell approvals list')
    .option('--customer <id>', 'whose', 'default')
    .option('--reason <text>', 'why; it is kept, and told to the program of a call that is rejected')
    .option('--json', 'print what holds as JSON')
    .addHelpText(
      'after',
      `\nA program that nobody runs any more is run again here, with the answers that it had.\n\nExample:\n  workcell approvals ${name} apr_exe_1_1 --customer acme --reason 'ticket 42'`,
    )
    .action(async (id: string, { customer: whose, reason, json }: DecideFlags, command: Command) => {
      await using cell = await openCell(command);
      const customer = cell.customer(whose);
      const decision = { approved: name === 'approve', by: userName(), reason };
      const decided = await customer.decideApproval(id, decision);
      if (json === true) printJson(decided);
      else say(`${decided.approved ? 'Approved' : 'Rejected'}: ${id}`);
      if (await customer.isRunning(decided.executionId)) await awaitProgram(customer, decided.executionId);
    });
}

/** The program ends with this process, so its end is waited for, or its next pause. */
async function awaitProgram(customer: Customer, execution: ExecutionId): Promise<void> {
  sayProgress(`execution ${execution} goes on here`);
  const over = new AbortController();
  const finished = untilFinished(customer, execution, over.signal);
  const paused = customer.whenPaused(execution, over.signal);
  const outcome = await Promise.race([finished, paused]).finally(() => over.abort());
  await Promise.allSettled([finished, paused]);
  if (outcome === undefined) return;
  if (typeof outcome === 'string') return say(`Execution ${execution}: ${outcome}`);
  const waits = outcome.map((approval) => `${toolName(approval)} (${approval.approvalId})`).join(', ');
  say(`Execution ${execution} waits for another decision: ${waits}`);
}

async function untilFinished(
  customer: Customer,
  execution: ExecutionId,
  signal: AbortSignal,
): Promise<string | undefined> {
  for await (const event of customer.watch(execution, { follow: true, signal })) {
    if (event.type === 'finished') return event.result.status;
  }
  return undefined;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.()}`;
  }
}
