import { isUnrestricted, type Principal } from '../../core/principal.ts';
import { ANY_NAMESPACE } from '../../protocol/json-rpc.ts';
import type { CreateSandboxRequest } from '../../protocol/rest.ts';
import type { SandboxRegistry } from '../registry.ts';
import type { Sandbox } from '../sandbox.ts';

/** Whom a JSON-RPC request comes from, and what of the server is theirs. */
export interface RpcCaller {
  /** Sandboxes of different organisations never meet, whatever their names. */
  readonly orgId: string;
  /** Whether folders of the host may be mounted, within those that the server allows at all. */
  readonly mayBind: boolean;
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

/** What of a server is a principal's own. An administrator sees more elsewhere; a namespace is of one organisation. */
export function callerOf(registry: SandboxRegistry, principal: Principal): RpcCaller {
  const own = (): Sandbox[] => registry.visibleTo(principal).filter(({ record }) => record.orgId === principal.org.id);
  return {
    orgId: principal.org.id,
    mayBind: isUnrestricted(principal),
    namespace: principal.namespace ?? ANY_NAMESPACE,
    sandboxes: {
      create: (request) => registry.create(principal, request),
      start: async (sandbox) => registry.start(principal, sandbox),
      find: (name) => own().find(({ record }) => record.name === name),
      list: (labels) =>
        own().filter(({ request }) => Object.entries(labels).every(([key, value]) => request.labels[key] === value)),
      remove: (sandbox) => registry.remove(principal, sandbox),
    },
  };
}
