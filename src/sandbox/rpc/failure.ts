import { type ErrorCode, isWorkcellError, WorkcellError } from '../../core/errors.ts';
import { RPC_ERROR, type RpcError } from '../../protocol/json-rpc.ts';
import { ParamsError } from './methods.ts';

/** A failed request as the wire has it. */
export interface RpcFailure {
  readonly status: number;
  readonly error: RpcError;
}

/** What the client has to change; everything else is this server's failure, 500 as in the original. */
const CLIENT: { readonly [Code in ErrorCode]?: readonly [status: number, code: number] } = {
  invalid_argument: [400, RPC_ERROR.invalidParams],
  unsupported: [400, RPC_ERROR.validation],
  not_found: [400, RPC_ERROR.notFound],
  forbidden: [403, RPC_ERROR.validation],
  invalid_state: [409, RPC_ERROR.validation],
  already_exists: [409, RPC_ERROR.validation],
  quota_exceeded: [429, RPC_ERROR.server],
  busy: [429, RPC_ERROR.server],
};

/** Methods that the original hands on to the guest; it answers 500 for whatever fails there. */
const FORWARDED = new Set(['sandbox.repl.run', 'sandbox.command.run', 'sandbox.command.execute']);

/** The status is of the class that the original answers with; the reason, which it keeps to itself, is told. */
export function toRpcFailure(error: unknown, method: string): RpcFailure {
  if (error instanceof ParamsError)
    return { status: 400, error: { code: RPC_ERROR.invalidParams, message: error.message } };
  // What was not foreseen may name files of the host.
  const { code, message, details } = isWorkcellError(error)
    ? error
    : new WorkcellError('internal', 'Internal server error');
  const [status, number] = (FORWARDED.has(method) ? undefined : CLIENT[code]) ?? [500, RPC_ERROR.server];
  return { status, error: { code: number, message, data: { reason: code, ...details } } };
}
