import type { BrokerOptions } from '../broker/broker.ts';
import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import { joinObserved, type ObservedSchema } from '../codegen/observed-schema.ts';

type Hub = BrokerOptions['hub'];

/** The structure of the results that one execution has seen; nothing of a result itself is kept. */
export class LearnedResults {
  readonly #catalog: Pick<ToolCatalog, 'observe'>;
  readonly #byServer = new Map<string, Map<string, ObservedSchema>>();

  constructor(catalog: Pick<ToolCatalog, 'observe'>) {
    this.#catalog = catalog;
  }

  /** By the names of server and tool. */
  get byServer(): ReadonlyMap<string, ReadonlyMap<string, ObservedSchema>> {
    return this.#byServer;
  }

  /** The hub, but the structure of each result is noted. */
  observeCalls(hub: Hub): Hub {
    return {
      callTool: async (call) => {
        const outcome = await hub.callTool(call);
        if (outcome.ok) this.#note(call.server, call.tool, outcome.value);
        return outcome;
      },
    };
  }

  #note(server: string, tool: string, value: unknown): void {
    const seen = this.#catalog.observe({ server, tool }, value);
    if (seen === undefined) return;
    const tools = this.#byServer.get(server) ?? new Map<string, ObservedSchema>();
    this.#byServer.set(server, tools.set(tool, joinObserved(tools.get(tool) ?? {}, seen)));
  }
}
