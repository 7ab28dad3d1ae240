import { readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { WorkcellError } from '../core/errors.ts';
import { Secret } from '../util/secret.ts';
import type { Config } from './config.ts';
import { defaultLayer, serverDefaults } from './defaults.ts';
import { readFileLayer } from './file-layer.ts';
import { type Entry, isEmpty, mergeLayers, nest, type Problem, valueAt } from './layer.ts';
import { environmentLayer, type FlagValue, flagLayer } from './override-layers.ts';
import { problemsOf } from './problems.ts';
import { resolveConfig } from './resolve-config.ts';
import { type FileConfig, fileSchema } from './schema.ts';

export interface LoadConfigOptions {
  /** The file to read; otherwise what `WORKCELL_CONFIG` names, otherwise `config.yaml` in `cwd` if there is one. */
  readonly path?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly flags?: readonly FlagValue[];
  /** Where relative paths of the environment and of flags start; default: the working directory of the process. */
  readonly cwd?: string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** The file that was read; undefined when there was none. */
  readonly file: string | undefined;
  /** The folder of the file, or `cwd`: where relative paths of the file and of defaults start. */
  readonly folder: string;
  /** Every value that a layer gave, with its origin. */
  readonly values: readonly ConfigValue[];
}

export interface ConfigValue {
  readonly path: readonly string[];
  /** As it was written when it holds variables, resolved otherwise. */
  readonly value: unknown;
  readonly origin: string;
}

/**
 * The configuration from all layers: defaults < file < environment < flags.
 *
 * Throws `invalid_config` that names every problem with the place where it was written. A file that was asked for must
 * be there; without one, the defaults hold.
 */
export async function loadConfig(options: LoadConfigOptions): Promise<LoadedConfig> {
  const cwd = resolve(options.cwd ?? '.');
  const file = await findFile(options, cwd);
  const folder = file === undefined ? cwd : dirname(file.path);
  const variables = { ...options.env, CONFIG_DIR: folder };
  const read = file
    ? readFileLayer(file.text, { name: basename(file.path), variables })
    : { entries: [], problems: [] };

  const overrides = [...environmentLayer(options.env), ...flagLayer(options.flags ?? [])];
  const entries = mergeLayers(
    [...defaultLayer(options.env), ...serverDefaults(read.entries), ...read.entries].map((entry) =>
      absolute(entry, folder),
    ),
    overrides.map((entry) => absolute(entry, cwd)),
  );
  const parsed = fileSchema.safeParse(nest(entries));
  const refused = parsed.success ? [] : problemsOf(parsed.error, entries);
  const unread = new Set(read.problems.map(({ key }) => key));
  const problems = [...read.problems, ...refused.filter(({ key }) => !unread.has(key))];
  if (!parsed.success || problems.length > 0) throw invalidConfig(problems);

  const config = await resolveConfig(parsed.data, folder);
  return deepFreeze({ config, file: file?.path, folder, values: valuesOf(entries, parsed.data) });
}

async function findFile(options: LoadConfigOptions, cwd: string): Promise<{ path: string; text: string } | undefined> {
  const asked = options.path ?? (options.env.WORKCELL_CONFIG || undefined);
  const path = resolve(cwd, asked ?? 'config.yaml');
  try {
    return { path, text: await readFile(path, 'utf8') };
  } catch (error) {
    const { code = 'an unknown error' } = error as NodeJS.ErrnoException;
    if (asked === undefined && code === 'ENOENT') return undefined;
    const reason = code === 'ENOENT' ? 'there is no such file' : `reading it failed with ${code}`;
    throw new WorkcellError('invalid_config', `Cannot read the configuration file ${JSON.stringify(path)}: ${reason}`, {
      cause: error,
    });
  }
}

/** The entry with its path made absolute, when its key holds one. */
function absolute(entry: Entry, base: string): Entry {
  const [section, , key] = entry.path;
  const isPath =
    section === 'paths' ||
    (section === 'mcpServers' && (key === 'cwd' || (key === 'command' && String(entry.value).includes('/')))) ||
    key === 'modelPath' ||
    (section === 'sandbox' && entry.path[1] === 'image' && /^\.{1,2}(\/|$)/.test(String(entry.value)));
  if (!isPath || typeof entry.value !== 'string' || entry.value === '') return entry;
  return { ...entry, value: resolve(base, entry.value) };
}

function invalidConfig(problems: readonly Problem[]): WorkcellError {
  const byPlace = problems.toSorted((a, b) => a.origin.localeCompare(b.origin, 'en', { numeric: true }));
  const lines = byPlace.map(({ origin, key, message }) => `\n  ${origin}: ${key === '' ? '' : `${key}: `}${message}`);
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  return new WorkcellError('invalid_config', `The configuration has ${count}:${lines.join('')}`, {
    details: { problems: byPlace },
  });
}

function valuesOf(entries: readonly Entry[], parsed: FileConfig): readonly ConfigValue[] {
  return entries
    .filter(({ value }) => !isEmpty(value))
    .map(({ path, value, written, origin }) => {
      const found = valueAt(parsed, path);
      const isSecret = [found].flat().some((each) => each instanceof Secret);
      const isWritten = JSON.stringify(written).includes('${');
      return { path, origin, value: isSecret ? found : isWritten ? written : value };
    });
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const child of Object.values(value)) deepFreeze(child);
  }
  return value;
}
