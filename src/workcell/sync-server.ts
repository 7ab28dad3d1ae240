import type { Approvals } from '../catalog/approvals.ts';
import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import type { ServerChanges } from '../catalog/write-server.ts';
import { toWorkcellError, type WorkcellError } from '../core/errors.ts';
import type { ServerStatus, ToolListing, UpstreamHub } from '../upstream/upstream-hub.ts';
import { Deadline } from '../util/deadline.ts';

export interface SyncServerOptions {
  readonly hub: UpstreamHub;
  readonly catalog: ToolCatalog;
  /** For a server with a quarantine: where it is approved when it is seen for the first time. Default: nowhere. */
  readonly approvals?: Approvals | undefined;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** What became of one server; one that failed keeps the files it had. */
export type SyncReport =
  | ({ readonly server: string; readonly ok: true } & ServerChanges & ToolsLeftOut & Standing)
  | ({ readonly server: string; readonly ok: false; readonly error: WorkcellError } & Standing);

/** What a server has and programs cannot call. */
export interface ToolsLeftOut {
  /** Tools that `allowedTools` and `excludeTools` leave out. */
  readonly filtered: readonly string[];
  /** Patterns there that no tool matches. */
  readonly unmatched: readonly string[];
  /** Tools that are new or changed and wait for `workcell tools approve`. */
  readonly quarantined: readonly string[];
}

interface Standing {
  /** Absent for a server that is not configured. */
  readonly status?: Omit<ServerStatus, 'server'>;
}

/** Brings `servers/<server>/` in line with the tools that the server lists. Never rejects: what failed is in the report. */
export async function syncServer(server: string, options: SyncServerOptions): Promise<SyncReport> {
  const { hub, catalog, approvals, timeoutMs, signal } = options;
  using deadline = new Deadline(`Reading the tools of MCP server "${server}"`, timeoutMs, { signal });
  try {
    const listing = await hub.inspectTools(server, deadline);
    const { description } = await hub.describe(server, deadline);
    const { tools } = listing;
    const changes = await catalog.writeServer({ server, tools, ...(description === undefined ? {} : { description }) });
    await approvals?.approveFirst(server, tools);
    catalog.review();
    return { server, ok: true, ...changes, ...leftOut(server, listing, hub), ...standing(server, hub) };
  } catch (error) {
    return { server, ok: false, error: toWorkcellError(error), ...standing(server, hub) };
  }
}

/** What of a listing programs cannot call as it is. */
export function leftOut(server: string, listing: ToolListing, hub: UpstreamHub): ToolsLeftOut {
  const { tools, filtered, unmatched } = listing;
  const quarantined = tools.filter((tool) => hub.refusal({ ...tool, server })?.code === 'quarantined');
  return { filtered, unmatched, quarantined: quarantined.map(({ tool }) => tool) };
}

function standing(name: string, hub: UpstreamHub): Standing {
  if (!hub.servers.includes(name)) return {};
  const { server: _, ...status } = hub.status(name);
  return { status };
}
