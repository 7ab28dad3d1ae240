import { Command } from 'commander';
import { noSuchCustomer } from '../../core/customer-of.ts';
import { formatSize } from '../../core/units.ts';
import { openCell } from '../open-cell.ts';
import { print, printJson, say, table } from '../output.ts';

/** `workcell customers`: who there is, and what they use. */
export function customersCommand(): Command {
  return new Command('customers')
    .description('who has a workspace, and what of its quotas it uses')
    .addCommand(listCommand())
    .addCommand(usageCommand());
}

function listCommand(): Command {
  return new Command('list')
    .description('the ids of all customers, sorted; those of another organisation than "default" begin with its name')
    .option('--json', 'print them as JSON')
    .addHelpText('after', '\nExample:\n  workcell customers list')
    .action(async ({ json }: { json?: true }, command: Command) => {
      await using cell = await openCell(command);
      const ids = await cell.listCustomers();
      if (json === true) return printJson(ids);
      if (ids.length === 0) return say('There are no customers; the first execution makes one');
      for (const id of ids) print(id);
    });
}

function usageCommand(): Command {
  return new Command('usage')
    .description('what a customer uses of its quotas, and what is left: CPU time of the day, and files')
    .argument('<id>', 'the customer, as in: workcell customers list')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExample:\n  workcell customers usage acme.ann --json')
    .action(async (id: string, { json }: { json?: true }, command: Command) => {
      await using cell = await openCell(command);
      const customer = cell.customer(id);
      if (!(await customer.exists())) throw noSuchCustomer(id);
      // What runs is known to the process that runs it, and not to this one.
      const { cpuSecondsPerDay, diskBytes } = await customer.usage();
      if (json === true) return printJson({ customer: customer.id, cpuSecondsPerDay, diskBytes });
      const row = (name: string, { used, limit }: typeof diskBytes, told: (value: number) => string) => [
        name,
        used === null ? '' : told(used),
        limit === null ? 'no limit' : told(limit),
      ];
      print(
        table([
          ['QUOTA', 'USED', 'LIMIT'],
          row('CPU seconds today', cpuSecondsPerDay, (value) => value.toFixed(1)),
          row('files', diskBytes, formatSize),
        ]),
      );
    });
}
