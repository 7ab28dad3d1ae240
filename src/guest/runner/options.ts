import { totalmem } from 'node:os';
import { PYTHON_RUNNER, RUNTIME_DIRECTORY } from '../../protocol/guest-bootstrap.ts';
import type { ProgramProcessOptions } from './program-process.ts';

/** Share of the guest's memory that a program's JavaScript heap may take before the engine gives up by itself. */
const HEAP_SHARE = 0.7;

/**
 * How the process for a program is started: the runtime's own node through the runtime's own loader, in any image; for
 * Python, the image's own interpreter. `memoryBytes` is what the guest has; a guest that shares the host's kernel cannot see it.
 */
export function programProcessOptions(
  runtime: string = RUNTIME_DIRECTORY,
  memoryBytes: number = totalmem(),
): ProgramProcessOptions {
  const library = `${runtime}/lib`;
  const heapMib = Math.floor((memoryBytes * HEAP_SHARE) / 1024 / 1024);
  const shell = [`${runtime}/bin/busybox`, 'sh'] as const;
  return {
    shell,
    commands: {
      typescript: [
        ...[`${library}/ld.so`, '--library-path', library, `${library}/node`],
        ...[`--max-old-space-size=${heapMib}`, '--no-warnings', `${runtime}/program.mjs`],
      ],
      python: pythonCommand(shell, `${runtime}/${PYTHON_RUNNER}`),
    },
    cwd: '/workspace',
  };
}

/**
 * Starts `file` on the image's `python3`, or tells the host that there is none. Isolated: no variable and no folder of the
 * customer's changes what the interpreter itself loads. It leaves no compiled files behind, and text is UTF-8.
 */
export function pythonCommand(shell: readonly string[], file: string): readonly string[] {
  const message =
    "The sandbox's image has no python3; set sandbox.image to one that has Python 3.9 or later, or write the program in TypeScript";
  const error = { name: 'PythonUnavailableError', message, stack: '' };
  const end = JSON.stringify({ t: 'end', end: { kind: 'error', error } });
  // It waits for its end: bytes that it has not read would take what it says with them if it left.
  const script =
    'command -v python3 >/dev/null && exec python3 "$@"; printf "%s\\n" "$0" >&3; while read -r x <&3; do :; done';
  return [...shell, '-c', script, end, '-I', '-B', '-X', 'utf8', file];
}
