import { createInterface } from 'node:readline/promises';
import { Command } from 'commander';
import { setUp } from '../../workcell/setup.ts';
import { loadCliConfig } from '../open-cell.ts';
import { say, sayProgress } from '../output.ts';

export function setupCommand(): Command {
  return new Command('setup')
    .description('get what the driver in use needs: packages, a guest kernel and runtime, a template')
    .option('-y, --yes', 'install packages without asking')
    .action(async (options: { yes?: true }, command: Command) => {
      const { config } = await loadCliConfig(command);
      await setUp(config, { confirm: options.yes === true ? async () => true : ask, onProgress: sayProgress });
      say('Everything is in place. Try: workcell run "Calculate 5 + 3"');
    });
}

/** Nobody is there to answer when standard input is not a terminal; that is a no. */
async function ask(question: string): Promise<boolean> {
  if (process.stdin.isTTY !== true) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`${question} [y/N] `);
  terminal.close();
  return /^y(es)?$/i.test(answer.trim());
}
