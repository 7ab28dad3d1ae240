import { type ErrorCode, isWorkcellError, toWorkcellError, WorkcellError } from '../core/errors.ts';
import { errnoOf } from '../util/errno.ts';

/**
 * Whatever ended a command, as an error that says what to do next. What the system refused is told with its path or
 * address, which the person at the command line may know; the configuration says where folders are.
 */
export function explainFailure(error: unknown): WorkcellError {
  if (isWorkcellError(error)) return error;
  const known = REASONS[errnoOf(error)];
  if (known === undefined) return toWorkcellError(error);
  const [code, reason] = known;
  return new WorkcellError(code, `Cannot ${attemptOf(error as SystemError)}: ${reason}`, { cause: error });
}

interface SystemError {
  readonly syscall?: string;
  readonly path?: string;
  readonly dest?: string;
  readonly address?: string;
  readonly port?: number;
}

const NOT_ALLOWED = 'this user may not; run as another, or choose another place (workcell config show --origin)';
const NO_ROOM = 'the disk is full, or a quota on it is used up; free space';

const REASONS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  EACCES: ['storage_failed', NOT_ALLOWED],
  EPERM: ['storage_failed', NOT_ALLOWED],
  EROFS: ['storage_failed', 'it is on a file system that is read-only; choose another place'],
  ENOSPC: ['storage_full', NO_ROOM],
  EDQUOT: ['storage_full', NO_ROOM],
  EADDRINUSE: ['busy', 'something listens there already; stop it, or choose another port (--port, server.port)'],
  EADDRNOTAVAIL: ['invalid_config', 'this host does not have the address (--host, server.host)'],
};

function attemptOf({ syscall = 'go on', path, dest, address, port }: SystemError): string {
  if (address !== undefined) return `${syscall} on ${address}${port === undefined ? '' : `:${port}`}`;
  return [syscall, dest ?? path].filter((part) => part !== undefined).join(' ');
}
