import { Command } from 'commander';
import { describeConfig } from '../../config/describe-config.ts';
import { loadCliConfig } from '../open-cell.ts';
import { print, printJson, table } from '../output.ts';

export function configCommand(): Command {
  const config = new Command('config').description('the configuration as it applies');
  config
    .command('show')
    .description('every key with its value')
    .option('--origin', 'also where each value came from')
    .option('--json', 'print as JSON')
    .action(async (options: { origin?: true; json?: true }, command: Command) => {
      const rows = describeConfig(await loadCliConfig(command));
      if (options.json === true) printJson(rows);
      else
        print(
          table(rows.map(({ key, value, origin }) => (options.origin === true ? [key, value, origin] : [key, value]))),
        );
    });
  return config;
}
