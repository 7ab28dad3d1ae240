// Builds dist/: the compiled library and command line, and the programs that run inside a guest as single files.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, rmSync } from 'node:fs';
import { build } from 'esbuild';

rmSync('dist', { recursive: true, force: true });
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], { stdio: 'inherit' });
chmodSync('dist/cli/main.js', 0o755);

await build({
  entryPoints: {
    agentd: 'src/guest/agentd/main.ts',
    'agentd-process': 'src/guest/agentd/process-main.ts',
    runner: 'src/guest/runner/main.ts',
    program: 'src/guest/program/main.ts',
    'async-hooks': 'src/guest/program/async-hooks.ts',
    'mailbox-runner': 'src/guest/mailbox-runner/main.ts',
  },
  outdir: 'dist/guest',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  minifySyntax: true,
  // The entry for other engines: it does not look for the optional native half, which cannot be bundled.
  alias: { 'cbor-x': './node_modules/cbor-x/index.js' },
});
for (const name of ['runner.py', 'check_calls.py']) copyFileSync(`src/guest/program/${name}`, `dist/guest/${name}`);
