import { isWorkcellError, messageOf, WorkcellError } from '../core/errors.ts';
import { toolName } from '../core/tool.ts';
import type { ToolFailure } from '../core/tool-error.ts';

/** The failure of a call whose deadline ended; `reason` is the deadline's. */
export function endedFailure(reason: unknown, sent: boolean): ToolFailure {
  const isTimeout = isWorkcellError(reason) && reason.code === 'deadline_exceeded';
  return { code: isTimeout ? 'timeout' : 'cancelled', message: messageOf(reason), retryable: isTimeout && !sent };
}

/** For a tool that its server's filter hides. */
export function filteredFailure(tool: { readonly server: string; readonly tool: string }): ToolFailure {
  const message = `${toolName(tool)} is left out by allowedTools or excludeTools of its server`;
  return { code: 'not_allowed', message };
}

/** For a tool of a server with a quarantine; `isKnown` when it was approved as something else. */
export function quarantineFailure(
  tool: { readonly server: string; readonly tool: string },
  isKnown: boolean,
): ToolFailure {
  const name = toolName(tool);
  const what = isKnown ? 'its description or schema has changed since it was approved' : 'it has not been approved';
  return {
    code: 'quarantined',
    message: `${name} is in quarantine: ${what}; approve it with: workcell tools approve ${name}`,
  };
}

/** `customer` undefined: the tools were to be looked at. */
export function credentialMissing(server: string, key: string, customer: string | undefined): WorkcellError {
  const [who, option] =
    customer === undefined
      ? ['to look at its tools', '--default']
      : [`of customer "${customer}"`, `--customer ${customer}`];
  const message = `The MCP server "${server}" needs the credential "${key}" ${who}; set it with: workcell credential set ${key} ${option}`;
  return new WorkcellError('upstream_unavailable', message, {
    details: { server, key, failure: 'credential_missing' },
  });
}

/** Whether a server could not be asked because a customer, or nobody, has no credential for it. */
export function isCredentialMissing(error: WorkcellError): boolean {
  return error.details['failure'] === 'credential_missing';
}

/** The failure of a call that `error` has kept from being sent, in words that a program may read. */
export function neverSent(server: string, error: unknown): ToolFailure {
  // Words of the operating system are the operator's, as the whole message of a server that is down is: both can name paths of the host.
  if (!isWorkcellError(error)) {
    const message = `The MCP server "${server}" cannot be used: something failed on its host, whose log says what`;
    return { code: 'upstream_unavailable', message };
  }
  const { code, message, details, retryable } = error;
  if (code === 'cancelled') return { code, message };
  if (isCredentialMissing(error)) return { code: 'credential_missing', message };
  const reason = typeof details['reason'] === 'string' ? `The MCP server "${server}" ${details['reason']}` : message;
  return { code: 'upstream_unavailable', message: reason, retryable };
}
