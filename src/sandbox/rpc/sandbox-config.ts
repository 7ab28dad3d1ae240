import { isAbsolute } from 'node:path';
import { WorkcellError } from '../../core/errors.ts';
import type { SandboxConfig } from '../../protocol/json-rpc.ts';
import { type CreateSandboxInput, type CreateSandboxRequest, createSandboxSchema } from '../../protocol/rest.ts';

export interface NamedSandbox {
  readonly namespace: string;
  readonly sandbox: string;
}

/** By which sandboxes of this interface are found again. */
export const LABEL = { namespace: 'microsandbox.namespace', sandbox: 'microsandbox.sandbox' } as const;

/** What the original takes when a configuration does not say. */
const DEFAULT_MEMORY_MIB = 1024;

/** The name among all sandboxes of an organisation; neither part can hold a dot. */
export function registryName({ namespace, sandbox }: NamedSandbox): string {
  return `${namespace}.${sandbox}`;
}

/**
 * The sandbox that a configuration of 0.2 describes. Throws `invalid_argument`; `unsupported` for what no sandbox of this
 * server can be given; `forbidden` for a folder of the host unless `mayBind`.
 */
export function toCreateRequest(
  named: NamedSandbox,
  config: SandboxConfig & { readonly image: string },
  mayBind: boolean,
): CreateSandboxRequest {
  refuseUnsupported(config);
  const input: CreateSandboxInput = {
    name: registryName(named),
    image: { type: 'oci', reference: config.image },
    resources: { vcpus: config.cpus ?? 1, memory_mib: config.memory ?? DEFAULT_MEMORY_MIB },
    env: config.envs.map(toVariable),
    labels: { [LABEL.namespace]: named.namespace, [LABEL.sandbox]: named.sandbox },
    // The configuration is what is kept of a sandbox that does not run, so nothing else needs to be.
    lifecycle: { ephemeral: true },
    mounts: config.volumes.map((volume) => toMount(volume, mayBind)),
    runtime: { workdir: config.workdir, shell: config.shell, scripts: config.scripts },
  };
  const parsed = createSandboxSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw invalid(`the configuration is not valid: ${issue?.path.join('.')} ${issue?.message}`);
}

function refuseUnsupported({ ports, depends_on: dependsOn, exec }: SandboxConfig): void {
  const asked = { ports: ports.length > 0, depends_on: dependsOn.length > 0, exec: Boolean(exec) };
  for (const [field, isAsked] of Object.entries(asked)) {
    if (!isAsked) continue;
    throw new WorkcellError('unsupported', `This server cannot provide "config.${field}": leave it out`);
  }
}

function toVariable(entry: string): { key: string; value: string } {
  const at = entry.indexOf('=');
  if (at < 1) throw invalid('an entry of "config.envs" is not of the form KEY=value');
  return { key: entry.slice(0, at), value: entry.slice(at + 1) };
}

function toMount(volume: string, mayBind: boolean): NonNullable<CreateSandboxInput['mounts']>[number] {
  const at = volume.indexOf(':');
  const source = at < 0 ? volume : volume.slice(0, at);
  const guest = at < 0 ? volume : volume.slice(at + 1);
  if (/^[a-z0-9-]+$/.test(source)) return { type: 'named', name: source, guest };
  if (!isAbsolute(source))
    throw invalid(`"${source}" in "config.volumes" is neither the name of a volume nor an absolute path`);
  if (mayBind) return { type: 'bind', host: source, guest };
  throw new WorkcellError(
    'forbidden',
    'Only an administrator\'s key may mount folders of the host; create a volume and give "NAME:/path"',
  );
}

function invalid(reason: string): WorkcellError {
  return new WorkcellError('invalid_argument', `Cannot start the sandbox: ${reason}`);
}
