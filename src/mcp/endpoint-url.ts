import { WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import type { ToolMode } from './server.ts';

export interface EndpointOptions {
  /** Whom a key acts for that is not this customer's own. */
  readonly customer?: CustomerId | undefined;
  readonly tools: ToolMode;
}

/** Where a server is reached over MCP, by its own URL or that of an endpoint. Throws `invalid_argument`, without what may be secret in it. */
export function endpointUrl(text: string, { customer, tools }: EndpointOptions): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
    throw new WorkcellError('invalid_argument', '--url must be an http or https URL without a user and a password');
  if (url.pathname === '/') url.pathname = customer === undefined ? '/mcp' : `/customers/${customer}/mcp`;
  if (tools !== 'code') url.searchParams.set('tools', tools);
  return url.href;
}
