import { createInterface } from 'node:readline/promises';
import { Command } from 'commander';
import type { FlagValue } from '../../config/override-layers.ts';
import { setUp } from '../../workcell/setup.ts';
import { loadCliConfig } from '../open-cell.ts';
import { say, sayProgress } from '../output.ts';

export function setupCommand(): Command {
  return new Command('setup')
    .description('get what the driver in use needs: packages, a guest kernel and runtime, a template')
    .option('-y, --yes', 'install packages without asking')
    .option('--driver <name>', 'what another driver than the configured one needs: microsandbox, qemu, bubblewrap')
    .action(async (options: { yes?: true; driver?: string }, command: Command) => {
      const { config } = await loadCliConfig(command, driverFlags(options.driver));
      await setUp(config, { confirm: options.yes === true ? async () => true : ask, onProgress: sayProgress });
      say('Everything is in place. Try: workcell run "Calculate 5 + 3"');
    });
}

/** Nothing runs on the driver yet, so its isolation may be as weak as it gets. */
function driverFlags(name: string | undefined): readonly FlagValue[] {
  return [
    { key: 'sandbox.driver', flag: '--driver', value: name },
    { key: 'sandbox.isolation', flag: '--driver', value: name === undefined ? undefined : 'process' },
  ];
}

/** Nobody is there to answer when standard input is not a terminal; that is a no. */
async function ask(question: string): Promise<boolean> {
  if (process.stdin.isTTY !== true) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`${question} [y/N] `);
  terminal.close();
  return /^y(es)?$/i.test(answer.trim());
}
