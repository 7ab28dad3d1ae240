import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { Customer } from '../workcell/customer.ts';
import { registerExecution } from './execute-code.ts';
import { registerResources } from './resources.ts';
import { registerSearchTools } from './search-tools.ts';
import { registerSkills } from './skills.ts';

const INSTRUCTIONS =
  'Find tools with search_tools, then call them from one program with execute_code, instead of one by one. Programs keep files in /workspace; work that may be needed again is saved with save_skill.';

/**
 * Offers a customer's tools and sandbox to any agent that speaks the Model Context Protocol: few tools with little text, as an
 * agent reads them before every task. What a program does wrong is told to the model as a tool's error, which it can mend.
 */
export function createMcpServer(customer: Customer, version: string): McpServer {
  const server = new McpServer({ name: 'workcell', title: 'Workcell', version }, { instructions: INSTRUCTIONS });
  registerSearchTools(server, customer);
  registerExecution(server, customer);
  registerSkills(server, customer);
  registerResources(server, customer);
  return server;
}
