import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { Argument, Command, Option } from 'commander';
import { messageOf, WorkcellError } from '../../core/errors.ts';
import { parseCustomerId } from '../../core/ids.ts';
import {
  clientConfig,
  MCP_CLIENTS,
  type McpClient,
  type McpCommand,
  type McpRemote,
  withServer,
} from '../../mcp/client-config.ts';
import { endpointUrl } from '../../mcp/endpoint-url.ts';
import { createMcpServer, TOOL_MODES, type ToolMode } from '../../mcp/server.ts';
import { readTextIfExists, rewriteFileAtomic } from '../../util/atomic-file.ts';
import { packageVersion } from '../../util/package-version.ts';
import { createLogger } from '../../workcell/create-logger.ts';
import { onInterrupt } from '../interrupt.ts';
import { loadCliConfig, openCell } from '../open-cell.ts';
import { print, say } from '../output.ts';

const TOOLS_HELP =
  'code: few tools, of which one runs programs that call the others; direct: the others themselves; both';

const KEY_VARIABLE = 'WORKCELL_API_KEY';

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
    .description('print the entry that makes a client start or reach this server, or write it into its configuration')
    .addArgument(new Argument('<client>').choices(MCP_CLIENTS))
    .addOption(new Option('--print', 'print it, which is the default').conflicts('write'))
    .option('--write', 'write it, instead of printing it')
    .option('--url <url>', 'reach the server of `workcell serve` at this URL, with a key, instead of starting one')
    // `--customer` and `--tools` are options of `mcp`, wherever they stand.
    .configureHelp({ showGlobalOptions: true })
    .action(async (client: McpClient, { write, url }: { write?: true; url?: string }, command: Command) => {
      const server = url === undefined ? await ownServer(command) : serverAt(url, command);
      const wanted = clientConfig(client, server, process.platform);
      const path = wanted.path.replace(/^~/, homedir());
      if (write !== true) {
        say(`Into ${wanted.path}:`);
        print(withServer(undefined, 'workcell', wanted).trimEnd());
      } else {
        const present = await readTextIfExists(path);
        await rewriteFileAtomic(resolve(path), withServer(present, 'workcell', wanted));
        say(`Written into ${path}; restart ${client}`);
      }
      if (url !== undefined) say(`The key is not in it: ${keySource(client)}`);
    });
  return mcp;
}

type InstallOptions = { readonly customer: string; readonly tools: ToolMode };

/** The client starts it anywhere, so the configuration has to be a file, and one that holds. */
async function ownServer(command: Command): Promise<McpCommand> {
  const { customer, tools } = command.optsWithGlobals<InstallOptions>();
  const { file } = await loadCliConfig(command);
  if (file === undefined) {
    const message = `There is no config.yaml in ${process.cwd()}; run it where one is, or name one with --config`;
    throw new WorkcellError('invalid_config', message);
  }
  const main = fileURLToPath(new URL('../main.js', import.meta.url));
  const mode = tools === 'code' ? [] : ['--tools', tools];
  const args = [main, '--config', file, 'mcp', '--customer', parseCustomerId(customer), ...mode];
  return { command: process.execPath, args };
}

function serverAt(url: string, command: Command): McpRemote {
  const { customer, tools } = command.optsWithGlobals<InstallOptions>();
  const isNamed = command.getOptionValueSourceWithGlobals('customer') === 'cli';
  const whose = isNamed ? parseCustomerId(customer) : undefined;
  return { url: endpointUrl(url, { customer: whose, tools }), keyVariable: KEY_VARIABLE };
}

function keySource(client: McpClient): string {
  if (client === 'vscode') return 'VS Code asks for it, once';
  return `set ${KEY_VARIABLE} to it where ${client} is started; see: workcell key create`;
}
