import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { assignIdentifiers } from '../codegen/identifiers.ts';
import type { ObservedSchema } from '../codegen/observed-schema.ts';
import { renderPythonPackage, renderPythonWrapper } from '../codegen/python-wrapper.ts';
import { renderIndex, renderWrapper } from '../codegen/wrapper.ts';
import { WorkcellError } from '../core/errors.ts';
import { pythonPackage } from '../core/python-package.ts';
import { schemaHash } from '../core/schema-hash.ts';
import { serverNameProblem } from '../core/server-name.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import { readTextIfExists, writeFileAtomic, writeFileIfChanged } from '../util/atomic-file.ts';
import { NONE_OBSERVED, OBSERVED_FILE, readObserved, renderObserved, widened } from './observed-outputs.ts';
import { lockServer } from './server-lock.ts';
import { descriptorsOf } from './tool-descriptors.ts';
import { readManifest, renderManifest, type ToolManifest } from './tool-manifest.ts';

/** Grows when the generated files look different for the same tools. */
export const GENERATOR = 2;
const INDEX = 'index.ts';
const PACKAGE = '__init__.py';

export interface ServerListing {
  readonly server: string;
  readonly description?: string;
  readonly tools: readonly ListedTool[];
}

/** One tool as its server lists it. */
export type ListedTool = Omit<ToolDescriptor, 'kind' | 'server' | 'identifier' | 'pythonIdentifier' | 'observedOutput'>;

/** Names of the tools, as the server spells them. */
export interface ServerChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  readonly unchanged: readonly string[];
}

export interface WriteServerOptions {
  /** Whether types of results are learned where a server promises none. */
  readonly observed: boolean;
}

/**
 * Brings `<servers>/<server>/` in line with what the server lists: a wrapper for each tool in each language, an index, and
 * a manifest.
 *
 * The same listing always gives the same files, and a file that would not change is not touched. The wrapper of a tool
 * that is gone goes with it; files that were not generated stay. Throws `invalid_argument` for a name that is none,
 * `invalid_state` for a folder whose manifest is hand-written or broken, `already_exists` when a hand-written file is in
 * the way of a wrapper, or a server that Python could not tell from this one; nothing has been written then. Throws
 * `deadline_exceeded` when another process writes the folder and does not end.
 */
export async function writeServer(
  servers: string,
  listing: ServerListing,
  options: WriteServerOptions,
): Promise<{ tools: readonly ToolDescriptor[]; manifest: ToolManifest; changes: ServerChanges }> {
  const { server } = listing;
  const problem = serverNameProblem(server);
  if (problem !== undefined) throw new WorkcellError('invalid_argument', `${JSON.stringify(server)} ${problem}`);
  await using _lock = await lockServer(servers, server);
  const folder = join(servers, server);
  const previous = await readManifest(folder, server);
  if (previous?.kind === 'module') {
    const message = `servers/${server} is hand-written and is not overwritten; give the MCP server another name`;
    throw new WorkcellError('invalid_state', message);
  }
  await refuseSamePackage(servers, server);
  const manifest = manifestOf(listing);
  const tools = descriptorsOf(manifest, options.observed ? await readObserved(folder) : NONE_OBSERVED);
  const files = render(tools);
  await refuseForeignFiles(folder, server, files, generatedNames(previous));

  // The manifest comes last: until then the old one owns the files, so that a run that was cut off can be repeated.
  for (const [name, content] of files) await writeFileIfChanged(join(folder, name), content);
  await writeFileIfChanged(join(folder, 'manifest.json'), renderManifest(manifest));
  for (const name of generatedNames(previous)) if (!files.has(name)) await rm(join(folder, name), { force: true });
  return { tools, manifest, changes: compare(previous, manifest) };
}

/**
 * Adds what was learned of the results of a server's tools, by their names, to what was known, and writes the wrappers
 * whose types become wider by it. Gives the server's tools as they are then; undefined when nothing is new, or the folder
 * is none that was generated. Throws as {@link writeServer} does for a lock.
 */
export async function writeObserved(
  servers: string,
  server: string,
  results: ReadonlyMap<string, ObservedSchema>,
): Promise<readonly ToolDescriptor[] | undefined> {
  await using _lock = await lockServer(servers, server);
  const folder = join(servers, server);
  const manifest = await readManifest(folder, server);
  if (manifest?.kind !== 'upstream' || manifest.generator !== GENERATOR) return undefined;
  const before = await readObserved(folder);
  const now = widened(before, manifest, results);
  if (now === before) return undefined;
  await writeFileAtomic(join(folder, OBSERVED_FILE), renderObserved(now));
  const tools = descriptorsOf(manifest, now);
  const files = [...render(tools.filter(({ tool }) => results.has(tool)))];
  for (const [name, content] of files.filter(([name]) => name !== INDEX && name !== PACKAGE))
    await writeFileIfChanged(join(folder, name), content);
  return tools;
}

async function refuseSamePackage(servers: string, server: string): Promise<void> {
  const name = pythonPackage(server);
  for (const other of await readdir(servers)) {
    if (other === server || pythonPackage(other) !== name) continue;
    if ((await readTextIfExists(join(servers, other, 'manifest.json'))) === undefined) continue;
    const message = `servers/${server} and servers/${other} would both be "servers.${name}" in Python; rename one of the MCP servers and remove the folder of the old name`;
    throw new WorkcellError('already_exists', message);
  }
}

/** What a server listed when the manifest was written. */
export function listingOf({ server, description, tools }: ToolManifest): ServerListing {
  return {
    server,
    ...(description === undefined ? {} : { description }),
    tools: tools.map(({ identifier: _, pythonIdentifier: __, schemaHash: ___, ...tool }) => tool),
  };
}

/** Tools in the order of their names, because a server may list them in any. */
function manifestOf({ server, description, tools }: ServerListing): ToolManifest {
  const sorted = tools.toSorted((a, b) => (a.tool < b.tool ? -1 : 1));
  const names = sorted.map(({ tool }) => tool);
  const identifiers = assignIdentifiers(names);
  const pythonIdentifiers = assignIdentifiers(names, 'python');
  return {
    server,
    kind: 'upstream',
    ...(description === undefined ? {} : { description }),
    generator: GENERATOR,
    tools: sorted.map(({ tool, ...rest }) => ({
      tool,
      identifier: identifierOf(tool, identifiers),
      pythonIdentifier: identifierOf(tool, pythonIdentifiers),
      ...rest,
      schemaHash: schemaHash({ tool, ...rest }),
    })),
  };
}

function identifierOf(tool: string, identifiers: ReadonlyMap<string, string>): string {
  const identifier = identifiers.get(tool);
  if (identifier === undefined) throw new WorkcellError('internal', `There is no identifier for the tool ${tool}`);
  return identifier;
}

function render(tools: readonly ToolDescriptor[]): ReadonlyMap<string, string> {
  return new Map([
    ...tools.map((tool) => [`${tool.identifier}.ts`, renderWrapper(tool)] as const),
    [INDEX, renderIndex(tools)],
    ...tools.map((tool) => [`${tool.pythonIdentifier}.py`, renderPythonWrapper(tool)] as const),
    [PACKAGE, renderPythonPackage(tools)],
  ]);
}

/** The files that a manifest accounts for, other than itself. */
function generatedNames(manifest: ToolManifest | undefined): ReadonlySet<string> {
  if (manifest === undefined) return new Set();
  const python = manifest.tools.flatMap(({ pythonIdentifier: name }) => (name === undefined ? [] : [`${name}.py`]));
  return new Set([
    ...manifest.tools.map(({ identifier }) => `${identifier}.ts`),
    INDEX,
    ...python,
    ...(python.length > 0 ? [PACKAGE] : []),
  ]);
}

async function refuseForeignFiles(
  folder: string,
  server: string,
  files: ReadonlyMap<string, string>,
  owned: ReadonlySet<string>,
): Promise<void> {
  for (const [name, content] of files) {
    if (owned.has(name)) continue;
    const present = await readTextIfExists(join(folder, name));
    // A run that was cut off before its manifest leaves files that are generated and not owned.
    if (present === undefined || firstLine(present) === firstLine(content)) continue;
    const message = `servers/${server}/${name} is hand-written and is not overwritten; move or rename it`;
    throw new WorkcellError('already_exists', message);
  }
}

/** Says of a file that it is generated. */
function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}

function compare(previous: ToolManifest | undefined, manifest: ToolManifest): ServerChanges {
  const before = new Map(previous?.tools.map((tool) => [tool.tool, tool.schemaHash]));
  const now = new Map(manifest.tools.map((tool) => [tool.tool, tool.schemaHash]));
  const names = [...now.keys()];
  return {
    added: names.filter((name) => !before.has(name)),
    changed: names.filter((name) => before.has(name) && before.get(name) !== now.get(name)),
    removed: [...before.keys()].filter((name) => !now.has(name)),
    unchanged: names.filter((name) => before.has(name) && before.get(name) === now.get(name)),
  };
}
