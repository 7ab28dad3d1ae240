import type { Command } from 'commander';
import { type ExitCode, WorkcellError } from '../../core/errors.ts';
import type { RecordedResult } from '../../core/execution.ts';
import { openCell } from '../open-cell.ts';
import { print, printJson, say, sayProgress } from '../output.ts';

interface Whose {
  readonly customer: string;
  readonly json?: true;
}

interface CheckpointOptions extends Whose {
  readonly step?: string;
  readonly context?: string;
  readonly lastTask?: string;
}

/** What goes on in a session, where it stands, and its end. */
export function addResumeCommands(session: Command, done: (code: ExitCode) => void): void {
  whose(session.command('resume <id>'))
    .description('tell what in a session was cut off, and open it for more; with --replay, run that again')
    .option('--replay', 'run what was cut off again, with the answers of the tool calls that had returned')
    .addHelpText(
      'after',
      '\nA replay is the same program under the same id, in the workspace as it is. Tool calls that had returned are answered from the\nlog. One whose fate is unknown is sent again when that can do no harm; otherwise the program gets a ToolError outcome_unknown.',
    )
    .action(async (id: string, { customer, replay = false, json }: Whose & { replay?: boolean }, command: Command) => {
      await using cell = await openCell(command);
      const { resumed, ...session } = await cell.customer(customer).resumeSession(id, { replay });
      for (const each of resumed) sayProgress(`${each.id} runs again`);
      const results = await Promise.all(resumed.map(({ result }) => result()));
      if (results.some(({ status }) => status !== 'completed')) done(1);
      if (json === true) return printJson({ ...session, results });
      for (const result of results) print(outcomeLine(result));
      say(summary(session, replay));
    });
  whose(session.command('checkpoint <id>'))
    .description('print the checkpoint of a session, or set it with --step')
    .option('--step <step>', 'a whole number or the name of the step that was reached')
    .option('--context <json>', 'what it takes to go on from there')
    .option('--last-task <text>', 'what was done last')
    .action(async (id: string, options: CheckpointOptions, command: Command) => {
      const { step, lastTask, customer, json } = options;
      const context = parseContext(options);
      await using cell = await openCell(command);
      if (step !== undefined) {
        const isNumber = /^\d+$/.test(step);
        await cell.customer(customer).setCheckpoint(id, { step: isNumber ? Number(step) : step, lastTask, context });
        if (json !== true) return say(`Session ${id} of ${customer} has the checkpoint ${step}`);
      }
      const { checkpoint } = await cell.customer(customer).session(id);
      if (json === true) printJson(checkpoint);
      else if (checkpoint === null) say(`Session ${id} has no checkpoint`);
      else print(`${checkpoint.step}  ${checkpoint.timestamp}  ${JSON.stringify(checkpoint.context)}`);
    });
  whose(session.command('close <id>'))
    .description('end a session; no program runs in it until it is resumed')
    .action(async (id: string, { customer, json }: Whose, command: Command) => {
      await using cell = await openCell(command);
      await cell.customer(customer).closeSession(id);
      if (json === true) printJson({ closed: id });
      else say(`Closed session ${id} of ${customer}`);
    });
}

function whose(command: Command): Command {
  return command.option('--customer <id>', 'whose', 'default').option('--json', 'print it as JSON');
}

function parseContext({ step, context }: CheckpointOptions): unknown {
  if (context === undefined) return null;
  if (step === undefined) {
    throw new WorkcellError('invalid_argument', '--context says what a checkpoint holds; give its --step, too');
  }
  try {
    return JSON.parse(context) as unknown;
  } catch (cause) {
    throw new WorkcellError('invalid_argument', '--context is not JSON; write it as \'{"page": 3}\'', { cause });
  }
}

function outcomeLine({ executionId, status, value, error }: RecordedResult): string {
  return `${executionId}  ${status}  ${error === null ? JSON.stringify(value) : `${error.name}: ${error.message}`}`;
}

interface Reopened {
  readonly sessionId: string;
  readonly interrupted: readonly string[];
  readonly paused: readonly string[];
  readonly checkpoint: { readonly step: number | string } | null;
}

function summary({ sessionId, interrupted, paused, checkpoint }: Reopened, replay: boolean): string {
  const again = replay || interrupted.length === 0 ? '' : '; run it again with --replay';
  return [
    `Session ${sessionId} is open`,
    `cut off: ${interrupted.join(', ') || 'nothing'}${again}`,
    ...(paused.length > 0 ? [`waits for approval: ${paused.join(', ')}`] : []),
    `checkpoint: ${checkpoint?.step ?? 'none'}`,
  ].join('\n');
}
