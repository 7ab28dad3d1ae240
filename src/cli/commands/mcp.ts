import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { Argument, Command, Option } from 'commander';
import { messageOf } from '../../core/errors.ts';
import { parseCustomerId } from '../../core/ids.ts';
import { clientConfig, MCP_CLIENTS, type McpClient, withServer } from '../../mcp/client-config.ts';
import { createMcpServer, TOOL_MODES, type ToolMode } from '../../mcp/server.ts';
import { readTextIfExists, rewriteFileAtomic } from '../../util/atomic-file.ts';
import { packageVersion } from '../../util/package-version.ts';
import { createLogger } from '../../workcell/create-logger.ts';
import { onInterrupt } from '../interrupt.ts';
import { openCell } from '../open-cell.ts';
import { print, say } from '../output.ts';

const TOOLS_HELP =
  'code: few tools, of which one runs programs that call the others; direct: the others themselves; both';

export function mcpCommand(): Command {
  const mcp = new Command('mcp')
    .description("offer a customer's tools and sandbox to an agent, as an MCP server on standard input and output")
    .option('--customer <id>', 'whose workspace, sessions and skills', 'default')
    .addOption(new Option('--tools <mode>', TOOLS_HELP).choices(TOOL_MODES).default('code' satisfies ToolMode))
    .action(async ({ customer, tools }: { customer: string; tools: ToolMode }, command: Command) => {
      const signal = onInterrupt();
      await using cell = await openCell(command);
      const log = createLogger(cell.loaded.config.log.level);
      const server = createMcpServer(cell.customer(customer), {
        // Whoever starts it here may decide on the command line, too.
        mayApprove: true,
        version: packageVersion(),
        tools,
        onProblem: (error) => log.error({ err: error }, messageOf(error)),
      });
      const transport = new StdioServerTransport();
      const closed = new Promise<void>((done) => {
        transport.onclose = () => done();
        process.stdin.once('end', done);
        signal.addEventListener('abort', () => done(), { once: true });
      });
      await server.connect(transport);
      say(`MCP server for customer "${customer}"; it ends with its client`);
      await closed;
      await server.close();
    });
  mcp
    .command('install')
    .description('print the entry that makes a client start this server, or write it into its configuration')
    .addArgument(new Argument('<client>').choices(MCP_CLIENTS))
    .addOption(new Option('--print', 'print it, which is the default').conflicts('write'))
    .option('--write', 'write it, instead of printing it')
    // `--customer` is the option of `mcp`, wherever it stands.
    .configureHelp({ showGlobalOptions: true })
    .action(async (client: McpClient, options: { write?: true }, command: Command) => {
      const { config = 'config.yaml', ...whose } = command.optsWithGlobals<{ config?: string; customer: string }>();
      const customer = parseCustomerId(whose.customer);
      const main = fileURLToPath(new URL('../main.js', import.meta.url));
      const args = [main, '--config', resolve(config), 'mcp', '--customer', customer];
      const wanted = clientConfig(client, { command: process.execPath, args }, process.platform);
      const path = wanted.path.replace(/^~/, homedir());
      if (options.write !== true) {
        say(`Into ${wanted.path}:`);
        print(withServer(undefined, 'workcell', wanted).trimEnd());
        return;
      }
      const present = await readTextIfExists(path);
      await rewriteFileAtomic(resolve(path), withServer(present, 'workcell', wanted));
      say(`Written into ${path}; restart ${client}`);
    });
  return mcp;
}
