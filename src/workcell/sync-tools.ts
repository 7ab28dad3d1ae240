import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import type { ServerChanges } from '../catalog/write-server.ts';
import { toWorkcellError, type WorkcellError } from '../core/errors.ts';
import type { UpstreamHub } from '../upstream/upstream-hub.ts';
import { Deadline } from '../util/deadline.ts';

export interface SyncToolsOptions {
  readonly hub: UpstreamHub;
  readonly catalog: ToolCatalog;
  /** Default: every server that the hub knows. */
  readonly servers?: readonly string[] | undefined;
  /** Bounds each server by itself. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Told of each server as it is done. */
  readonly onProgress?: (report: SyncReport) => void;
}

/** What became of one server; one that failed keeps the files it had. */
export type SyncReport =
  | ({ readonly server: string; readonly ok: true } & ServerChanges)
  | { readonly server: string; readonly ok: false; readonly error: WorkcellError };

/** Brings `servers/` in line with the tools that upstream servers list, all at once; one that fails does not stop the others. */
export async function syncTools(options: SyncToolsOptions): Promise<readonly SyncReport[]> {
  const servers = options.servers ?? options.hub.servers;
  return Promise.all(
    servers.map(async (server) => {
      const report = await syncServer(server, options);
      options.onProgress?.(report);
      return report;
    }),
  );
}

async function syncServer(server: string, options: SyncToolsOptions): Promise<SyncReport> {
  const { hub, catalog, signal } = options;
  using deadline = new Deadline(`Reading the tools of MCP server "${server}"`, options.deadlineMs, { signal });
  try {
    const tools = await hub.listTools(server, deadline);
    const { description } = await hub.describe(server, deadline);
    const changes = await catalog.writeServer({ server, tools, ...(description === undefined ? {} : { description }) });
    return { server, ok: true, ...changes };
  } catch (error) {
    return { server, ok: false, error: toWorkcellError(error) };
  }
}
