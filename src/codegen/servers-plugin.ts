import { posix } from 'node:path';
import type { Loader, OnResolveArgs, OnResolveResult, Plugin } from 'esbuild';

/** Where the modules of the tools are read. */
export interface ServerModules {
  /** The text of a file such as `memory/index.ts` under the servers folder; undefined when there is none. */
  load(path: string): Promise<string | undefined>;
}

/** esbuild's name for the plugin, and for the namespace of the files that it reads. */
export const SERVERS = 'servers';

/** Bundles what is imported from `servers/…`, and leaves every other import to whoever runs the bundle. */
export function serversPlugin(modules: ServerModules): Plugin {
  return {
    name: SERVERS,
    setup(build) {
      build.onResolve({ filter: /.*/ }, (args) => resolve(args, modules));
      build.onLoad({ filter: /.*/, namespace: SERVERS }, ({ path, pluginData }) => ({
        contents: pluginData,
        loader: LOADERS[posix.extname(path)] ?? 'ts',
      }));
    },
  };
}

const LOADERS: Readonly<Record<string, Loader>> = { '.js': 'js', '.mjs': 'js', '.json': 'json' };

async function resolve(args: OnResolveArgs, modules: ServerModules): Promise<OnResolveResult> {
  const path = pathInServers(args);
  if (path === undefined) return { path: args.path, external: true };
  if (path.startsWith('..')) return failure(`"${args.path}" leaves the folder of the servers`);
  const candidates = posix.extname(path) === '' ? [`${path}/index.ts`, `${path}.ts`] : [path];
  for (const candidate of candidates) {
    const contents = await modules.load(candidate);
    // Wrappers have no effects of their own, so that those which nothing uses are left out of the bundle.
    if (contents !== undefined)
      return { path: candidate, namespace: SERVERS, sideEffects: false, pluginData: contents };
  }
  return failure(`Cannot find module "${args.path}": there is no such server or tool`);
}

function pathInServers({ path, namespace, importer }: OnResolveArgs): string | undefined {
  if (path.startsWith('servers/')) return posix.normalize(path.slice('servers/'.length));
  if (namespace !== SERVERS || !/^\.\.?\//.test(path)) return undefined;
  return posix.join(posix.dirname(importer), path);
}

function failure(text: string): OnResolveResult {
  return { errors: [{ text }] };
}
