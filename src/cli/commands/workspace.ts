import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { Command, InvalidArgumentError } from 'commander';
import { ERRORS, type ExitCode, messageOf, toWorkcellError, WorkcellError } from '../../core/errors.ts';
import { formatSize, parseDuration } from '../../core/units.ts';
import type { Workcell } from '../../workcell/workcell.ts';
import { openCell } from '../open-cell.ts';
import { print, printJson, say, sayProgress, table } from '../output.ts';

/** `workcell workspace`: what customers' workspaces hold, as a whole. */
export function workspaceCommand(done: (code: ExitCode) => void): Command {
  return new Command('workspace')
    .description("snapshots, export, import and clean-up of customers' workspaces")
    .addCommand(snapshotCommand())
    .addCommand(listCommand())
    .addCommand(restoreCommand())
    .addCommand(deleteCommand())
    .addCommand(exportCommand())
    .addCommand(importCommand())
    .addCommand(pruneCommand(done));
}

interface Flags {
  readonly customer: string;
  readonly json?: true;
}

function customerCommand(name: string): Command {
  return new Command(name).option('--customer <id>', 'whose', 'default').option('--json', 'print everything as JSON');
}

function snapshotCommand(): Command {
  return customerCommand('snapshot')
    .description('keep files and skills as they are; programs may run meanwhile')
    .option('--name <name>', 'what it is for')
    .addHelpText('after', '\nExample:\n  workcell workspace snapshot --customer acme --name "before the migration"')
    .action(async ({ customer, name, json }: Flags & { readonly name?: string }, command: Command) => {
      await using cell = await openCell(command);
      const info = await cell.customer(customer).snapshots.create({ name, onProgress: sayProgress });
      if (json === true) return printJson(info);
      if (info.skipped > 0) say(`${info.skipped} entries are not in it: neither files, folders nor links`);
      print(info.id);
    });
}

function listCommand(): Command {
  return customerCommand('list')
    .description('the snapshots of a customer, oldest first')
    .action(async ({ customer, json }: Flags, command: Command) => {
      await using cell = await openCell(command);
      const snapshots = await cell.customer(customer).snapshots.list();
      if (json === true) return printJson(snapshots);
      if (snapshots.length === 0) return say('There are no snapshots; make one with: workcell workspace snapshot');
      const rows = snapshots.map(({ id, createdAt, files, bytes, name }) => [
        id,
        createdAt,
        `${files}`,
        formatSize(bytes),
        name ?? '',
      ]);
      print(table([['ID', 'CREATED', 'FILES', 'SIZE', 'NAME'], ...rows]));
    });
}

function restoreCommand(): Command {
  return customerCommand('restore')
    .description('make files and skills exactly what a snapshot has; what came later is gone')
    .argument('<id>', 'the snapshot, as in: workcell workspace list')
    .action(async (id: string, { customer, json }: Flags, command: Command) => {
      await using cell = await openCell(command);
      const info = await cell.customer(customer).snapshots.restore(id, { onProgress: sayProgress });
      if (json === true) return printJson(info);
      say(`The workspace of ${customer} is as it was at ${info.createdAt}`);
    });
}

function deleteCommand(): Command {
  return customerCommand('delete')
    .description('remove a snapshot, and the contents that no other one has')
    .argument('<id>', 'the snapshot, as in: workcell workspace list')
    .action(async (id: string, { customer, json }: Flags, command: Command) => {
      await using cell = await openCell(command);
      await cell.customer(customer).snapshots.delete(id);
      if (json === true) return printJson({ deleted: id });
      say(`Snapshot ${id} is deleted`);
    });
}

function exportCommand(): Command {
  return customerCommand('export')
    .description(
      'a whole customer as one file: files, skills, sessions and usage; not its snapshots, credentials and keys',
    )
    .option('--output <file>', 'where to (default: CUSTOMER.tar.gz)')
    .action(async ({ customer, output, json }: Flags & { readonly output?: string }, command: Command) => {
      await using cell = await openCell(command);
      const file = output ?? `${customer}.tar.gz`;
      const skipped = await writeExport(cell, customer, file);
      if (json === true) return printJson({ customer, file, skipped });
      if (skipped > 0) say(`${skipped} entries are not in it: neither files, folders nor links`);
      print(file);
    });
}

function importCommand(): Command {
  return customerCommand('import')
    .description('make a customer, who has nothing yet, what an export of it has')
    .argument('<file>', 'what export has written')
    .action(async (file: string, { customer, json }: Flags, command: Command) => {
      await using cell = await openCell(command);
      const { files, folders, links, bytes } = await cell.importCustomer(customer, createReadStream(file));
      if (json === true) return printJson({ customer, files, folders, links, bytes });
      say(`Customer ${customer} has ${files} files with ${formatSize(bytes)}`);
    });
}

interface PruneFlags {
  readonly inactive: number;
  readonly yes?: true;
  readonly export?: string;
  readonly json?: true;
}

function pruneCommand(done: (code: ExitCode) => void): Command {
  return new Command('prune')
    .description('remove customers whom nothing was done for lately; without --yes only shows them')
    .requiredOption('--inactive <duration>', 'for how long, such as 90d', duration)
    .option(
      '--yes',
      'remove them: workspaces, snapshots, sessions, skills, upstream folders and credentials; keys stay',
    )
    .option('--export <folder>', 'write each to FOLDER/CUSTOMER.tar.gz before it is removed')
    .option('--json', 'print everything as JSON')
    .addHelpText('after', '\nExample:\n  workcell workspace prune --inactive 90d --export /backup --yes')
    .action(async (flags: PruneFlags, command: Command) => {
      await using cell = await openCell(command);
      const inactive = await cell.inactiveCustomers(flags.inactive);
      const rows = [];
      for (const found of inactive)
        rows.push({ ...found, ...(flags.yes === true ? await prune(cell, found.customer, flags) : NOT_YET) });
      if (rows.some(({ removed }) => !removed) && flags.yes === true) done(ERRORS.busy.exit);
      if (flags.json === true) return printJson(rows);
      if (rows.length === 0) return say('Every customer has been active lately');
      const header = ['CUSTOMER', 'LAST ACTIVE', 'SESSIONS', 'SIZE', 'STATE'];
      print(
        table([
          header,
          ...rows.map((row) => [
            row.customer,
            row.lastActiveAt,
            `${row.sessions}`,
            sizeOf(row.bytes),
            row.kept ?? 'removed',
          ]),
        ]),
      );
      if (flags.yes !== true) say('Nothing was removed; add --yes to remove them');
    });
}

interface PruneOutcome {
  readonly removed: boolean;
  /** Why it is still there. */
  readonly kept?: string;
}

const NOT_YET: PruneOutcome = { removed: false, kept: 'would be removed' };

/** One that is in use, or cannot be exported, keeps no other from going. */
async function prune(
  cell: Workcell,
  customer: string,
  { inactive, export: folder }: PruneFlags,
): Promise<PruneOutcome> {
  sayProgress(`removing ${customer}`);
  const before = async () => {
    if (folder !== undefined) await writeExport(cell, customer, join(folder, `${customer}.tar.gz`));
  };
  try {
    await cell.removeCustomer(customer, { inactiveMs: inactive, before });
    return { removed: true };
  } catch (error) {
    const { code, message } = toWorkcellError(error);
    return { removed: false, kept: code === 'busy' ? 'in use' : message };
  }
}

/** The file is there as a whole or not at all; gives how much is not in it. */
async function writeExport(cell: Workcell, customer: string, file: string): Promise<number> {
  let skipped = 0;
  const archive = await cell.exportCustomer(customer, {
    onSkipped: () => {
      skipped++;
    },
  });
  const draft = `${file}.part`;
  await mkdir(dirname(file), { recursive: true });
  try {
    await pipeline(archive, createGzip(), createWriteStream(draft, { mode: 0o600, flush: true }));
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    if (error instanceof WorkcellError) throw error;
    throw new WorkcellError('storage_failed', `Cannot write ${file}: ${messageOf(error)}`, { cause: error });
  }
  return skipped;
}

function sizeOf(bytes: number | null): string {
  return bytes === null ? 'large' : formatSize(bytes);
}

function duration(value: string): number {
  try {
    return parseDuration(value);
  } catch (error) {
    throw new InvalidArgumentError(`${messageOf(error)}.`);
  }
}
