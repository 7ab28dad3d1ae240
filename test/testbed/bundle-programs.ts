import { readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';

/**
 * Writes the programs that run in the nested host into `folder`: `checks`, `cli`, `mcp-double` and `sdk-program`, as few
 * files, because opening and compiling many takes longest there. Folder and project must be there under the same paths.
 */
export async function bundlePrograms(project: string, folder: string): Promise<void> {
  await build({
    entryPoints: {
      checks: join(project, 'test/testbed/inside/main.ts'),
      cli: join(project, 'src/cli/main.ts'),
      'mcp-double': join(project, 'test/support/mcp-double/main.ts'),
      'sdk-program': join(project, 'test/support/stock-sdk-program.ts'),
    },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
    plugins: [ownUrls(project)],
    // For packages in the older format, and for those that find their own files.
    banner: {
      js: `import { createRequire as requireOf } from 'node:module'; const require = requireOf('${pathToFileURL(join(project, 'package.json'))}');`,
    },
    minifyWhitespace: true,
    external: ['esbuild'],
  });
  await symlink(join(project, 'node_modules'), join(folder, 'node_modules'));
}

/** Files that look for others beside themselves find them where they come from. */
function ownUrls(project: string): Plugin {
  return {
    name: 'own-urls',
    setup: ({ onLoad }) => {
      onLoad({ filter: /\/(src|test)\/.*\.ts$/ }, async ({ path }) => {
        if (!path.startsWith(project) || path.includes('/node_modules/')) return undefined;
        const text = await readFile(path, 'utf8');
        return { loader: 'ts', contents: text.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href)) };
      });
    },
  };
}
