import { totalmem } from 'node:os';
import { RUNTIME_DIRECTORY } from '../../protocol/guest-bootstrap.ts';
import type { ProgramProcessOptions } from './program-process.ts';

/** Share of the guest's memory that a program's JavaScript heap may take before the engine gives up by itself. */
const HEAP_SHARE = 0.7;

/**
 * How the process for a program is started: the runtime's own node through the runtime's own loader, in any image.
 * `memoryBytes` is what the guest has; a guest that shares the host's kernel cannot see it.
 */
export function programProcessOptions(
  runtime: string = RUNTIME_DIRECTORY,
  memoryBytes: number = totalmem(),
): ProgramProcessOptions {
  const library = `${runtime}/lib`;
  const heapMib = Math.floor((memoryBytes * HEAP_SHARE) / 1024 / 1024);
  return {
    shell: [`${runtime}/bin/busybox`, 'sh'],
    command: [
      ...[`${library}/ld.so`, '--library-path', library, `${library}/node`],
      ...[`--max-old-space-size=${heapMib}`, '--no-warnings', `${runtime}/program.mjs`],
    ],
    cwd: '/workspace',
  };
}
