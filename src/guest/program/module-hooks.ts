import { readFileSync } from 'node:fs';
import type * as NodeModule from 'node:module';
import { fileURLToPath } from 'node:url';
import { PROGRAM_URL } from '../../protocol/runner-frames.ts';
import { locateModule } from './locate-module.ts';

/** The bundle of `async-hooks.ts`, beside that of this file. */
const ASYNC_HOOKS = 'async-hooks.mjs';

/**
 * Makes `servers/<server>` and `skills/<name>` importable, and the program itself, which exists as text only. Returns the
 * function that sets this text.
 */
export function installModuleHooks(nodeModule: typeof NodeModule): (source: string) => void {
  // Other people's images may have an older node: 22.15 is the first with hooks in the same thread.
  const { registerHooks } = nodeModule as Partial<typeof NodeModule>;
  return registerHooks === undefined ? installAsyncHooks(nodeModule) : installSyncHooks(registerHooks);
}

function installSyncHooks(register: typeof NodeModule.registerHooks): (source: string) => void {
  let program = '';
  register({
    resolve(specifier, context, next) {
      if (specifier.startsWith(PROGRAM_URL)) return { url: specifier, shortCircuit: true };
      const url = locateModule(specifier);
      return url === undefined ? next(specifier, context) : { url, shortCircuit: true };
    },
    load(url, context, next) {
      if (url.startsWith(PROGRAM_URL)) return { format: 'module', source: program, shortCircuit: true };
      // Outside of a package, node would first try TypeScript files as CommonJS and warn about it.
      if (url.endsWith('.ts') && /^file:\/\/\/(?:workspace|opt\/workcell\/skills)\//.test(url)) {
        return { format: 'module-typescript', source: readFileSync(fileURLToPath(url), 'utf8'), shortCircuit: true };
      }
      return next(url, context);
    },
  });
  return (source) => {
    program = source;
  };
}

/** The text goes to the thread of the hooks, where it is when the import that asks for it arrives. */
function installAsyncHooks({ register }: typeof NodeModule): (source: string) => void {
  const { port1, port2 } = new MessageChannel();
  register(new URL(ASYNC_HOOKS, import.meta.url), { data: port2, transferList: [port2] });
  port1.unref();
  return (source) => port1.postMessage(source);
}
