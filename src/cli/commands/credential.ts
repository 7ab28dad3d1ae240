import { text } from 'node:stream/consumers';
import { Command } from 'commander';
import { WorkcellError } from '../../core/errors.ts';
import { parseCustomerId } from '../../core/ids.ts';
import { Secret } from '../../util/secret.ts';
import { type CredentialOwner, openCredentialStore } from '../../workcell/upstream-tools.ts';
import { loadCliConfig } from '../open-cell.ts';
import { print, printJson, say, table } from '../output.ts';

interface OwnerFlags {
  readonly customer?: string;
  readonly default?: true;
}

/** `workcell credential`: what upstream servers are reached with for each customer. Other processes notice at their next call. */
export function credentialCommand(): Command {
  return new Command('credential')
    .description('credentials of customers for upstream MCP servers, which the configuration names by their key')
    .addCommand(setCommand())
    .addCommand(listCommand())
    .addCommand(removeCommand());
}

function setCommand(): Command {
  return ownedBy(new Command('set'))
    .description('set a credential; its value is read from standard input, or from a variable')
    .argument('<key>', 'as the configuration names it')
    .option('--from-env <variable>', 'take the value from this environment variable')
    .option('--json', 'print what is set as JSON, without the value')
    .addHelpText('after', '\nExample:\n  workcell credential set github_token --customer acme < token.txt')
    .action(async (key: string, flags: OwnerFlags & { fromEnv?: string; json?: true }, command: Command) => {
      const owner = ownerOf(flags);
      const store = openCredentialStore((await loadCliConfig(command)).config);
      await store.set(owner, key, await readValue(flags.fromEnv));
      if (flags.json === true) return printJson({ key, ...(owner === 'default' ? {} : owner) });
      say(`Credential ${key} ${ownerText(owner)} is set`);
    });
}

function listCommand(): Command {
  return new Command('list')
    .description('all credentials, without their values')
    .option('--customer <id>', 'of this customer only')
    .option('--json', 'print them as JSON')
    .action(async (flags: { customer?: string; json?: true }, command: Command) => {
      const all = await openCredentialStore((await loadCliConfig(command)).config).list();
      const shown = all.filter(({ customer }) => flags.customer === undefined || customer === flags.customer);
      if (flags.json === true) return printJson(shown);
      if (shown.length === 0) return say('There are no credentials; see: workcell credential set --help');
      const rows = shown.map(({ key, customer, setAt }) => [customer ?? '(default)', key, setAt]);
      print(table([['CUSTOMER', 'KEY', 'SET'], ...rows]));
    });
}

function removeCommand(): Command {
  return ownedBy(new Command('remove'))
    .description('remove a credential; calls that need it fail from then on')
    .argument('<key>', 'as the configuration names it')
    .option('--json', 'print what is removed as JSON')
    .action(async (key: string, flags: OwnerFlags & { json?: true }, command: Command) => {
      const owner = ownerOf(flags);
      await openCredentialStore((await loadCliConfig(command)).config).remove(owner, key);
      if (flags.json === true) return printJson({ key, ...(owner === 'default' ? {} : owner) });
      say(`Credential ${key} ${ownerText(owner)} is removed`);
    });
}

function ownedBy(command: Command): Command {
  return command
    .option('--customer <id>', 'whose it is')
    .option('--default', "nobody's: used only to read which tools a server has");
}

function ownerOf({ customer, default: isDefault }: OwnerFlags): CredentialOwner {
  if ((customer === undefined) === (isDefault === undefined)) {
    throw new WorkcellError('invalid_argument', 'Say whose credential it is: either --customer ID or --default');
  }
  return customer === undefined ? 'default' : { customer: parseCustomerId(customer) };
}

function ownerText(owner: CredentialOwner): string {
  return owner === 'default' ? '(default)' : `of customer ${owner.customer}`;
}

/** Never an argument: other users of the machine can see those. One line break at the end belongs to the editor, not to the value. */
async function readValue(variable: string | undefined): Promise<Secret> {
  if (variable === undefined) {
    if (process.stdin.isTTY) say('Type the value, then Enter and Ctrl-D:');
    return new Secret((await text(process.stdin)).replace(/\r?\n$/, ''));
  }
  const value = process.env[variable];
  if (value !== undefined && value !== '') return new Secret(value);
  throw new WorkcellError('invalid_argument', `The environment variable ${variable} is not set`);
}
