import type { Customer } from '../workcell/customer.ts';
import type { Workcell } from '../workcell/workcell.ts';

/** For whom an MCP server works. */
export interface McpContext {
  readonly cell: Workcell;
  readonly customer: Customer;
}
