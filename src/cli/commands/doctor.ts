import { Command } from 'commander';
import type { ExitCode } from '../../core/errors.ts';
import { examine } from '../../workcell/setup.ts';
import { loadCliConfig } from '../open-cell.ts';
import { print, printJson, table } from '../output.ts';

const NOT_READY: ExitCode = 4;

export function doctorCommand(done: (code: ExitCode) => void): Command {
  return new Command('doctor')
    .description('whether programs can run here, and what to do when they cannot')
    .option('--json', 'print the findings as JSON')
    .action(async (options: { json?: true }, command: Command) => {
      const { config } = await loadCliConfig(command);
      const report = await examine(config);
      if (options.json === true) printJson(report);
      else {
        const facts = Object.entries(report.facts);
        print(
          table([
            ['driver', report.driver],
            ['isolation', report.isolation],
            ...facts,
            ['ready', report.ready ? 'yes' : 'no'],
          ]),
        );
        for (const { what, fix } of report.problems) print(`\n${what}\n  -> ${fix}`);
      }
      if (!report.ready) done(NOT_READY);
    });
}
