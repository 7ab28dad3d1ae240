import { Command, CommanderError } from 'commander';
import { ERRORS, type ExitCode, WorkcellError } from '../core/errors.ts';
import { packageVersion } from '../util/package-version.ts';
import { approvalsCommand } from './commands/approvals.ts';
import { configCommand } from './commands/config.ts';
import { credentialCommand } from './commands/credential.ts';
import { customersCommand } from './commands/customers.ts';
import { doctorCommand } from './commands/doctor.ts';
import { keyCommand } from './commands/key.ts';
import { mcpCommand } from './commands/mcp.ts';
import { quickstartCommand } from './commands/quickstart.ts';
import { runCommand } from './commands/run.ts';
import { serveCommand } from './commands/serve.ts';
import { sessionCommand } from './commands/session.ts';
import { setupCommand } from './commands/setup.ts';
import { skillCommand } from './commands/skill.ts';
import { toolsCommand } from './commands/tools.ts';
import { workspaceCommand } from './commands/workspace.ts';
import { explainFailure } from './explain-failure.ts';
import { printJson, say } from './output.ts';

/** Runs the command line; gives the exit code. stdout is data, stderr is talk. */
export async function main(args: readonly string[]): Promise<ExitCode> {
  let exit: ExitCode = 0;
  const done = (code: ExitCode) => {
    exit = code;
  };
  const program = new Command('workcell')
    .description('Runs code that language models write, for many customers, in microVMs on hardware you own.')
    .version(packageVersion())
    .option('-c, --config <file>', 'configuration file (default: config.yaml in the current folder)')
    .addHelpText(
      'after',
      '\nExit codes: 0 completed, 1 the program failed, 2 usage or configuration, 3 timed out, 4 infrastructure.',
    );
  const commands = [
    quickstartCommand(done),
    setupCommand(),
    doctorCommand(done),
    toolsCommand(done),
    runCommand(done),
    customersCommand(),
    workspaceCommand(done),
    sessionCommand(done),
    approvalsCommand(),
    skillCommand(),
    serveCommand(),
    mcpCommand(),
    keyCommand(),
    credentialCommand(),
    configCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  everywhere(program, (command) => command.exitOverride().showHelpAfterError('(add --help for what there is)'));
  for (const stream of [process.stdout, process.stderr]) stream.on('error', allowReaderToLeave);
  const wantsJson = args.includes('--json');
  try {
    await program.parseAsync(args, { from: 'user' });
    return exit;
  } catch (error) {
    const isUsage = error instanceof CommanderError;
    if (isUsage && error.exitCode === 0) return 0;
    const known = isUsage ? usageError(error) : explainFailure(error);
    if (wantsJson) printJson({ error: known.toJSON() });
    // Of wrong usage the parser has told already, with the help.
    else if (!isUsage) say(`error: ${known.message}`);
    return ERRORS[known.code].exit;
  }
}

/** `head` and `less` leave before the end; the command goes on, and its exit code tells how it went. */
function allowReaderToLeave(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}

function usageError(cause: CommanderError): WorkcellError {
  return new WorkcellError('invalid_argument', cause.message.replace(/^error: /, ''), { cause });
}

function everywhere(command: Command, apply: (command: Command) => void): void {
  apply(command);
  for (const sub of command.commands) everywhere(sub, apply);
}
