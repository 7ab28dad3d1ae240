import { createReadStream, createWriteStream } from 'node:fs';
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { messageOf, WorkcellError } from '../../core/errors.ts';
import { formatSize } from '../../core/units.ts';
import { succeeds } from '../../util/errno.ts';
import { printable } from '../../util/printable.ts';
import { Secret } from '../../util/secret.ts';
import { openCell } from '../open-cell.ts';
import { printJson, say, sayProgress } from '../output.ts';

interface ArchiveFlags {
  readonly customer: string;
  readonly files: boolean;
  readonly passphraseFile?: string;
  readonly json?: true;
}

const PROGRESS_EVERY_MS = 2_000;

export function addArchiveCommands(session: Command): void {
  whose(session.command('export <id>'))
    .description('write a session, and the files and skills of its workspace, into one file')
    .option('-o, --output <file>', 'where to; - is standard output (default: <id>.session.tgz)')
    .option('--no-files', 'leave files and skills out')
    .option('--passphrase-file <file>', 'encrypt it with the passphrase in this file')
    .option('--plain', 'do not encrypt it, although the session is encrypted')
    .addHelpText('after', '\nExample:\n  workcell session export ses_… -o mine.tgz && scp mine.tgz other:')
    .action(exportSession);
  whose(session.command('import <file>'))
    .description('make a session of a file that `workcell session export` wrote; - is standard input')
    .option('--as <id>', 'the id that it gets (default: the one that it had)')
    .option('--no-files', 'take the session alone')
    .option('--overwrite', 'let its files replace those of the same names')
    .option('--passphrase-file <file>', 'the passphrase that it was encrypted with is in this file')
    .action(importSession);
}

function whose(command: Command): Command {
  return command.option('--customer <id>', 'whose', 'default').option('--json', 'tell what was done as JSON');
}

async function exportSession(
  id: string,
  options: ArchiveFlags & { readonly output?: string; readonly plain?: true },
  command: Command,
): Promise<void> {
  const passphrase = await readPassphrase(options.passphraseFile);
  await using cell = await openCell(command);
  const onSkipped = ({ path, reason }: { readonly path: string; readonly reason: string }) =>
    say(`left out ${printable(path)}: ${reason}`);
  const { files, plain } = options;
  const archive = await cell.customer(options.customer).exportSession(id, { files, plain, passphrase, onSkipped });
  const count = { bytes: 0 };
  const counted = counting(archive, count, 'written');
  const output = options.output ?? `${id}.session.tgz`;
  if (output === '-') return await pipeline(counted, process.stdout, { end: false });
  await writeNew(output, counted);
  if (options.json === true) printJson({ session: id, file: output, bytes: count.bytes });
  else say(`Wrote ${output}, ${formatSize(count.bytes)}`);
}

async function importSession(
  file: string,
  options: ArchiveFlags & { readonly as?: string; readonly overwrite?: true },
  command: Command,
): Promise<void> {
  const passphrase = await readPassphrase(options.passphraseFile);
  if (file !== '-') await explained(`Cannot read ${JSON.stringify(file)}`, () => stat(file));
  await using cell = await openCell(command);
  const { as, files, overwrite } = options;
  const archive = counting(file === '-' ? process.stdin : createReadStream(file), { bytes: 0 }, 'read');
  const imported = await cell.customer(options.customer).importSession(archive, { as, files, overwrite, passphrase });
  if (options.json === true) return printJson(imported);
  const { sessionId, events, executions, from } = imported;
  say(`Imported session ${sessionId} of ${options.customer}: ${executions} executions, ${events} events`);
  if (imported.files !== null) say(`${imported.files.files} files, ${formatSize(imported.files.bytes)}`);
  for (const { path, reason } of imported.files?.skipped ?? []) say(`left out ${printable(path)}: ${reason}`);
  say(`It was exported as ${printable(from.session)} of ${printable(from.customer)} at ${from.exportedAt}`);
}

/** A file that is there when it is whole; it replaces none. */
async function writeNew(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  if (await succeeds(stat(path), ['ENOENT']))
    throw new WorkcellError('already_exists', `There already is a file ${JSON.stringify(path)}; give another --output`);
  const temporary = `${path}.part`;
  try {
    await pipeline(content, createWriteStream(temporary, { flags: 'wx', mode: 0o600, flush: true }));
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function* counting(
  stream: AsyncIterable<Uint8Array>,
  count: { bytes: number },
  done: string,
): AsyncGenerator<Uint8Array> {
  let toldAt = performance.now();
  for await (const chunk of stream) {
    count.bytes += chunk.length;
    yield chunk;
    if (performance.now() - toldAt < PROGRESS_EVERY_MS) continue;
    toldAt = performance.now();
    sayProgress(`${formatSize(count.bytes)} ${done}`);
  }
}

/** The first line of the file. */
async function readPassphrase(file: string | undefined): Promise<Secret | undefined> {
  if (file === undefined) return undefined;
  const text = await explained('Cannot read the passphrase', () => readFile(file, 'utf8'));
  return new Secret(text.split(/\r?\n/, 1)[0] ?? '');
}

async function explained<T>(subject: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new WorkcellError('invalid_argument', `${subject}: ${messageOf(cause)}`, { cause });
  }
}
