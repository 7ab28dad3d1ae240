import { existsSync } from 'node:fs';

const ROOTS: { readonly [prefix: string]: readonly string[] } = {
  'servers/': ['/workspace/servers/'],
  // A customer's own skill wins over a shared one of the same name.
  'skills/': ['/workspace/skills/', '/opt/workcell/skills/'],
};
const ENDINGS = ['/index.ts', '/index.js', '/index.mjs', '.ts', '.js', '.mjs', ''];

/** The URL of `servers/<server>` or `skills/<name>`; undefined for other names. Throws when there is no such module. */
export function locateModule(specifier: string): string | undefined {
  for (const [prefix, folders] of Object.entries(ROOTS)) {
    if (!specifier.startsWith(prefix)) continue;
    const name = specifier.slice(prefix.length);
    for (const folder of folders) {
      for (const ending of ENDINGS) {
        const path = `${folder}${name}${ending}`;
        if (/\.m?[jt]s$/.test(path) && existsSync(path)) return `file://${encodeURI(path)}`;
      }
    }
    throw new Error(`There is no module "${specifier}" in ${folders.join(' or ')}`);
  }
  return undefined;
}
