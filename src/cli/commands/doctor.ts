import { Command } from 'commander';
import type { ExitCode } from '../../core/errors.ts';
import { examine } from '../../workcell/setup.ts';
import { loadCliConfig } from '../open-cell.ts';
import { print, printJson, table } from '../output.ts';

const NOT_READY: ExitCode = 4;

export function doctorCommand(done: (code: ExitCode) => void): Command {
  return new Command('doctor')
    .description('which drivers can run programs here, which one is used, and what to do for the others')
    .option('--json', 'print the findings as JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const { config } = await loadCliConfig(command);
      const report = await examine(config);
      if (options.json === true) printJson(report);
      else {
        print(
          table([
            ['driver', report.drivers.some(({ chosen }) => chosen) ? report.driver : 'none'],
            ['isolation', report.isolation],
            ...Object.entries(report.facts),
            ['ready', report.ready ? 'yes' : 'no'],
          ]),
        );
        print('');
        print(
          table([
            ['DRIVER', 'ISOLATION', 'CAN RUN', 'USED'],
            ...report.drivers.map(({ driver, isolation, ready, chosen }) => [
              driver,
              isolation,
              ready ? 'yes' : 'no',
              chosen ? 'yes' : '',
            ]),
          ]),
        );
        for (const { driver, problems } of report.drivers)
          for (const { what, fix } of problems) print(`\n${driver}: ${what}\n  -> ${fix}`);
      }
      if (!report.ready) done(NOT_READY);
    });
}
