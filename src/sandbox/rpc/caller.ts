import { ANY_NAMESPACE } from '../../protocol/json-rpc.ts';
import type { CreateSandboxRequest } from '../../protocol/rest.ts';
import type { SandboxRegistry } from '../registry.ts';
import type { Sandbox } from '../sandbox.ts';

/** Whom a JSON-RPC request comes from, and what of the server is theirs. */
export interface RpcCaller {
  /** Sandboxes of different organisations never meet, whatever their names. */
  readonly orgId: string;
  /** Whether folders of the host may be mounted, within those that the server allows at all. */
  readonly administrator: boolean;
  /** The one namespace that the key is for, or `*`. */
  readonly namespace: string;
  readonly sandboxes: CallerSandboxes;
}

/** The sandboxes of one organisation. */
export interface CallerSandboxes {
  create(request: CreateSandboxRequest): Promise<Sandbox>;
  /** Begins to start it. */
  start(sandbox: Sandbox): Promise<void>;
  find(name: string): Sandbox | undefined;
  /** Those that have all of these labels. */
  list(labels: Readonly<Record<string, string>>): readonly Sandbox[];
  remove(sandbox: Sandbox): Promise<void>;
}

const PAGE = 100;

/** The caller of a server that knows no organisations: who has a key may do everything. */
export function soleCaller(registry: SandboxRegistry, orgId: string): RpcCaller {
  const find = (name: string): Sandbox | undefined => {
    try {
      return registry.getByName(name);
    } catch {
      return undefined;
    }
  };
  const list = (labels: Readonly<Record<string, string>>): readonly Sandbox[] => {
    const found: Sandbox[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = registry.list({ cursor, limit: PAGE, labels });
      found.push(...page.data.map(({ id }) => registry.get(id)));
      if (page.next_cursor === null) return found;
      cursor = page.next_cursor;
    }
  };
  const sandboxes: CallerSandboxes = {
    create: (request) => registry.create(request),
    start: (sandbox) => sandbox.start(),
    find,
    list,
    remove: (sandbox) => registry.remove(sandbox),
  };
  return { orgId, administrator: true, namespace: ANY_NAMESPACE, sandboxes };
}
