import { Command } from 'commander';
import type { ExitCode } from '../../core/errors.ts';
import { formatDuration } from '../../core/units.ts';
import { openCell } from '../open-cell.ts';
import { print, printJson, table } from '../output.ts';
import { addResumeCommands } from './session-resume.ts';

export function sessionCommand(done: (code: ExitCode) => void): Command {
  const session = new Command('session').description("a customer's history of executions");
  session
    .command('list')
    .description('the sessions of a customer, oldest first')
    .option('--customer <id>', 'whose', 'default')
    .option('--json', 'print the ids as JSON')
    .action(async (options: { customer: string; json?: true }, command: Command) => {
      await using cell = await openCell(command);
      const ids = await cell.customer(options.customer).listSessions();
      if (options.json === true) printJson(ids);
      else for (const id of ids) print(id);
    });
  session
    .command('show <id>')
    .description('what happened in a session')
    .option('--customer <id>', 'whose', 'default')
    .option('--json', 'print everything as JSON')
    .action(async (id: string, options: { customer: string; json?: true }, command: Command) => {
      await using cell = await openCell(command);
      const view = await cell.customer(options.customer).session(id);
      if (options.json === true) return printJson(view);
      const { started_at: started, ended_at: ended } = view;
      const length =
        started !== null && ended !== null ? `, lasted ${formatDuration(Date.parse(ended) - Date.parse(started))}` : '';
      print(`${view.session_id} of ${view.customer_uid}, started ${started ?? 'never'}${length}`);
      print(
        table(
          view.tasks.map((task) => [
            task.timestamp,
            task.status,
            task.task_id,
            task.description,
            task.error ?? JSON.stringify(task.result),
          ]),
        ),
      );
    });
  addResumeCommands(session, done);
  return session;
}
