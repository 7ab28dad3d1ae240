import { once } from 'node:events';
import { Command } from 'commander';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { messageOf } from '../../core/errors.ts';
import { formatDuration } from '../../core/units.ts';
import { httpApi } from '../../http/http-api.ts';
import { mcpRoutes } from '../../mcp/http-routes.ts';
import { packageVersion } from '../../util/package-version.ts';
import { createLogger } from '../../workcell/create-logger.ts';
import { createDriver } from '../../workcell/driver-choice.ts';
import { ownBackend } from '../../workcell/own-backend.ts';
import { pruneDaily } from '../../workcell/prune-sessions.ts';
import { Readiness } from '../../workcell/readiness.ts';
import { newApiKey, openBudget, openKeyStore, prepareDriver, serveSandboxes } from '../../workcell/sandbox-backend.ts';
import { sweepApprovals } from '../../workcell/sweep-approvals.ts';
import { createWorkcell, type Workcell } from '../../workcell/workcell.ts';
import { onInterrupt } from '../interrupt.ts';
import { loadCliConfig } from '../open-cell.ts';
import { print, say, sayProgress } from '../output.ts';

export function serveCommand(): Command {
  return new Command('serve')
    .description('run the HTTP API for customers, and a Microsandbox server that stock clients can use, on one port')
    .option('--host <address>', 'address to listen on')
    .option('--port <port>', 'port to listen on; 0 takes any free one')
    .action(async (options: { host?: string; port?: string }, command: Command) => {
      const loaded = await loadCliConfig(command, [
        { key: 'server.host', flag: '--host', value: options.host },
        { key: 'server.port', flag: '--port', value: options.port === undefined ? undefined : Number(options.port) },
      ]);
      const { config } = loaded;
      const signal = onInterrupt();
      await using stack = new AsyncDisposableStack();
      const budget = openBudget(config);
      const driver = stack.use(await createDriver(config, { budget, survives: true }));
      await prepareDriver(driver, sayProgress);
      const { host, port, hosts, apiKey } = config.server;
      const store = openKeyStore(config);
      const hasKeys = apiKey !== undefined || (await store.list()).some(({ active }) => active);
      const ofThisRun = hasKeys ? undefined : newApiKey();
      // Programs of customers run on this very server.
      const internal = newApiKey();
      const secrets = [apiKey, ofThisRun].filter((secret) => secret !== undefined);
      const keys = [store, internal, ...secrets] as const;
      const { backend, listensAt } = ownBackend(config, internal);
      const cell = stack.use(
        await createWorkcell({
          config: loaded,
          onProgress: sayProgress,
          syncsLater: true,
          ...(backend === undefined ? {} : { backend }),
        }),
      );
      cell.metrics.watchProcess();
      const log = createLogger(config.log.level);
      const readiness = new Readiness({ driver, folder: config.paths.workspaces, cell });
      const server = await serveSandboxes(config, driver, {
        ...{ host, port, hosts, keys, budget },
        keepsState: true,
        routes: routesOf({ cell, readiness, log }),
        metrics: cell.metrics,
      });
      stack.use(server);
      stack.use(
        sweepApprovals(cell, (error) =>
          log.error({ err: error }, `approvals could not be looked through: ${messageOf(error)}`),
        ),
      );
      // What runs ends before that on which it runs.
      stack.defer(() => cell.close());
      listensAt(server.url);
      say(`API for customers at ${server.url}/customers; what it offers: ${server.url}/docs`);
      say(`Microsandbox server with ${driver.isolation} isolation (${driver.name}); stop it with Ctrl-C`);
      if (ofThisRun !== undefined)
        say('There are no keys yet: this one is for administrators, until the server stops; see: workcell key create');
      const placeholder = apiKey === undefined ? '<a key of workcell key create>' : '<server.apiKey>';
      print(`MSB_BACKEND=cloud MSB_API_URL=${server.url} MSB_API_KEY=${ofThisRun?.reveal() ?? `'${placeholder}'`}`);
      await using _pruning = pruneSessions(cell, log);
      if (!signal.aborted) await once(signal, 'abort');
      say(`Stopping: executions may go on for ${formatDuration(config.server.drainMs)}; again ends them at once`);
      await cell.drain(config.server.drainMs);
    });
}

/** Undefined when sessions may get as old as they like. */
function pruneSessions(cell: Workcell, log: Logger): AsyncDisposable | undefined {
  const { sessions } = cell.loaded.config;
  if (sessions.retentionMs === undefined) return undefined;
  return pruneDaily(cell, {
    onReport: ({ problem, ...report }) => {
      if (problem === null) log.info(report, 'old sessions were deleted');
      else log.error({ customer: report.customer }, `old sessions could not be deleted: ${problem}`);
    },
    onProblem: (error) => log.error({ err: error }, `old sessions could not be deleted: ${messageOf(error)}`),
  });
}

interface Served {
  readonly cell: Workcell;
  readonly readiness: Readiness;
  readonly log: Logger;
}

/** What customers use, besides the Microsandbox API: theirs over HTTP, and that of their agents over MCP. */
function routesOf({ cell, readiness, log }: Served): (app: FastifyInstance) => Promise<void> {
  const version = packageVersion();
  const onProblem = (error: unknown) => log.error({ err: error }, messageOf(error));
  return async (app) => {
    await app.register(httpApi({ cell, readiness }, version));
    await app.register(mcpRoutes({ cell, version, onProblem }));
  };
}
