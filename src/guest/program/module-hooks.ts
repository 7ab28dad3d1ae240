import { existsSync, readFileSync } from 'node:fs';
import type { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { PROGRAM_URL } from '../../protocol/runner-frames.ts';

const ROOTS: { readonly [prefix: string]: readonly string[] } = {
  'servers/': ['/workspace/servers/'],
  // A customer's own skill wins over a shared one of the same name.
  'skills/': ['/workspace/skills/', '/opt/workcell/skills/'],
};
const ENDINGS = ['/index.ts', '/index.js', '/index.mjs', '.ts', '.js', '.mjs', ''];

/**
 * Makes `servers/<server>` and `skills/<name>` importable, and the program itself, which exists as text only. Returns the
 * function that sets this text.
 */
export function installModuleHooks(register: typeof registerHooks): (source: string) => void {
  let program = '';
  register({
    resolve(specifier, context, next) {
      if (specifier.startsWith(PROGRAM_URL)) return { url: specifier, shortCircuit: true };
      const path = locate(specifier);
      return path === undefined ? next(specifier, context) : { url: `file://${encodeURI(path)}`, shortCircuit: true };
    },
    load(url, context, next) {
      if (url.startsWith(PROGRAM_URL)) return { format: 'module', source: program, shortCircuit: true };
      // Outside of a package, node would first try TypeScript files as CommonJS and warn about it.
      if (url.endsWith('.ts') && url.startsWith('file:///workspace/')) {
        return { format: 'module-typescript', source: readFileSync(fileURLToPath(url), 'utf8'), shortCircuit: true };
      }
      return next(url, context);
    },
  });
  return (source) => {
    program = source;
  };
}

function locate(specifier: string): string | undefined {
  for (const [prefix, folders] of Object.entries(ROOTS)) {
    if (!specifier.startsWith(prefix)) continue;
    const name = specifier.slice(prefix.length);
    for (const folder of folders) {
      for (const ending of ENDINGS) {
        const path = `${folder}${name}${ending}`;
        if (/\.m?[jt]s$/.test(path) && existsSync(path)) return path;
      }
    }
    throw new Error(`There is no module "${specifier}" in ${folders.join(' or ')}`);
  }
  return undefined;
}
