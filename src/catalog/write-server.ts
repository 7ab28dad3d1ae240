import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { assignIdentifiers } from '../codegen/identifiers.ts';
import { renderIndex, renderWrapper } from '../codegen/wrapper.ts';
import { WorkcellError } from '../core/errors.ts';
import { schemaHash } from '../core/schema-hash.ts';
import { serverNameProblem } from '../core/server-name.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import { readTextIfExists, writeFileIfChanged } from '../util/atomic-file.ts';
import { descriptorsOf, readManifest, renderManifest, type ToolManifest } from './tool-manifest.ts';

/** Grows when the generated files look different for the same tools. */
const GENERATOR = 1;
const INDEX = 'index.ts';

export interface ServerListing {
  readonly server: string;
  readonly description?: string;
  readonly tools: readonly ListedTool[];
}

/** One tool as its server lists it. */
export type ListedTool = Omit<ToolDescriptor, 'kind' | 'server' | 'identifier'>;

/** Names of the tools, as the server spells them. */
export interface ServerChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  readonly unchanged: readonly string[];
}

/**
 * Brings `<servers>/<server>/` in line with what the server lists: a wrapper for each tool, an index, and a manifest.
 *
 * The same listing always gives the same files, and a file that would not change is not touched. The wrapper of a tool
 * that is gone goes with it; files that were not generated stay. Throws `invalid_argument` for a name that is none,
 * `invalid_state` for a folder whose manifest is hand-written or broken, and `already_exists` when a hand-written file
 * is in the way of a wrapper; nothing has been written then.
 */
export async function writeServer(
  servers: string,
  listing: ServerListing,
): Promise<{ manifest: ToolManifest; changes: ServerChanges }> {
  const { server } = listing;
  const problem = serverNameProblem(server);
  if (problem !== undefined) throw new WorkcellError('invalid_argument', `${JSON.stringify(server)} ${problem}`);
  const folder = join(servers, server);
  const previous = await readManifest(folder, server);
  if (previous?.kind === 'module') {
    const message = `servers/${server} is hand-written and is not overwritten; give the MCP server another name`;
    throw new WorkcellError('invalid_state', message);
  }
  const manifest = manifestOf(listing);
  const files = render(manifest);
  await refuseForeignFiles(folder, server, files, generatedNames(previous));

  // The manifest comes last: until then the old one owns the files, so that a run that was cut off can be repeated.
  for (const [name, content] of files) await writeFileIfChanged(join(folder, name), content);
  await writeFileIfChanged(join(folder, 'manifest.json'), renderManifest(manifest));
  for (const name of generatedNames(previous)) if (!files.has(name)) await rm(join(folder, name), { force: true });
  return { manifest, changes: compare(previous, manifest) };
}

/** Tools in the order of their names, because a server may list them in any. */
function manifestOf({ server, description, tools }: ServerListing): ToolManifest {
  const sorted = tools.toSorted((a, b) => (a.tool < b.tool ? -1 : 1));
  const identifiers = assignIdentifiers(sorted.map(({ tool }) => tool));
  return {
    server,
    kind: 'upstream',
    ...(description === undefined ? {} : { description }),
    generator: GENERATOR,
    tools: sorted.map(({ tool, ...rest }) => ({
      tool,
      identifier: identifierOf(tool, identifiers),
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

function render(manifest: ToolManifest): ReadonlyMap<string, string> {
  const tools = descriptorsOf(manifest);
  const wrappers = tools.map((tool) => [`${tool.identifier}.ts`, renderWrapper(tool)] as const);
  return new Map([...wrappers, [INDEX, renderIndex(tools)]]);
}

/** The files that a manifest accounts for, other than itself. */
function generatedNames(manifest: ToolManifest | undefined): ReadonlySet<string> {
  return new Set(manifest === undefined ? [] : [...manifest.tools.map(({ identifier }) => `${identifier}.ts`), INDEX]);
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
