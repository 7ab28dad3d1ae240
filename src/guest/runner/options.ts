import { totalmem } from 'node:os';
import { RUNTIME_DIRECTORY } from '../../protocol/guest-bootstrap.ts';
import type { ProgramProcessOptions } from './program-process.ts';

/** Share of the guest's memory that a program's JavaScript heap may take before the engine gives up by itself. */
const HEAP_SHARE = 0.7;

/** How the process for a program is started: the runtime's own node through the runtime's own loader, in any image. */
export function programProcessOptions(
  env: Readonly<Record<string, string | undefined>>,
  runtime: string = RUNTIME_DIRECTORY,
): ProgramProcessOptions {
  const heapMib = Math.floor((totalmem() * HEAP_SHARE) / 1024 / 1024);
  return {
    command: [...nodeCommand(runtime), `--max-old-space-size=${heapMib}`, '--no-warnings', `${runtime}/program.mjs`],
    cwd: '/workspace',
    env: Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined)),
  };
}

/** The words that run the guest runtime's node. */
function nodeCommand(runtime: string): string[] {
  const library = `${runtime}/lib`;
  return [`${library}/ld.so`, '--library-path', library, `${library}/node`];
}
