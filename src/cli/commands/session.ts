import { Command } from 'commander';
import type { ExitCode } from '../../core/errors.ts';
import { formatDuration, formatSize } from '../../core/units.ts';
import { openCell } from '../open-cell.ts';
import { parseCount } from '../option-values.ts';
import { print, printJson, say, table } from '../output.ts';
import { addArchiveCommands } from './session-archive.ts';
import { addPruneCommand } from './session-prune.ts';
import { addResumeCommands } from './session-resume.ts';

interface Whose {
  readonly customer: string;
  readonly json?: true;
}

interface PageFlags extends Whose {
  readonly limit: number;
  readonly before?: string;
}

const PAGE = 50;

export function sessionCommand(done: (code: ExitCode) => void): Command {
  const session = new Command('session').description("a customer's history of executions");
  whose(session.command('list'))
    .description('the ids of the sessions of a customer, sorted; with --long what is in them, the latest first')
    .option('--long', 'with when they began, executions, size and state')
    .option('--limit <count>', 'how many at most, with --long', parseCount, PAGE)
    .option('--before <id>', 'those after this one in the list, with --long')
    .action(listSessions);
  whose(session.command('show <id>'))
    .description('what happened in a session: its last tasks, oldest first')
    .option('--limit <count>', 'how many tasks at most', parseCount, PAGE)
    .option('--before <task>', 'those before this one')
    .action(showSession);
  whose(session.command('delete <id>'))
    .description('delete a session for good; none of its executions is ever run again')
    .action(async (id: string, { customer, json }: Whose, command: Command) => {
      await using cell = await openCell(command);
      await cell.customer(customer).deleteSession(id);
      if (json === true) printJson({ deleted: id });
      else say(`Deleted session ${id} of ${customer}`);
    });
  addArchiveCommands(session);
  addPruneCommand(session);
  addResumeCommands(session, done);
  return session;
}

async function listSessions(options: PageFlags & { readonly long?: true }, command: Command): Promise<void> {
  await using cell = await openCell(command);
  const customer = cell.customer(options.customer);
  if (options.long !== true) {
    const ids = await customer.listSessions();
    if (options.json === true) printJson(ids);
    else for (const id of ids) print(id);
    return;
  }
  const page = await customer.describeSessions(options);
  if (options.json === true) return printJson(page);
  print(
    table(
      page.sessions.map(({ sessionId, startedAt, state, executions, bytes, problem }) => [
        sessionId,
        startedAt ?? '',
        state,
        `${executions} executions`,
        formatSize(bytes),
        problem ?? '',
      ]),
    ),
  );
  if (page.next !== null) say(`There are more: --before ${page.next}`);
}

async function showSession(id: string, options: PageFlags, command: Command): Promise<void> {
  await using cell = await openCell(command);
  const view = await cell.customer(options.customer).session(id, options);
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
  if (view.older_before !== null)
    say(`${view.tasks.length} of ${view.task_count} tasks; older ones: --before ${view.older_before}`);
}

function whose(command: Command): Command {
  return command.option('--customer <id>', 'whose', 'default').option('--json', 'print it as JSON');
}
