import { once } from 'node:events';
import { Command } from 'commander';
import { createDriver } from '../../workcell/driver-choice.ts';
import { newApiKey, openBudget, openKeyStore, prepareDriver, serveSandboxes } from '../../workcell/sandbox-backend.ts';
import { onInterrupt } from '../interrupt.ts';
import { loadCliConfig } from '../open-cell.ts';
import { print, say, sayProgress } from '../output.ts';

export function serveCommand(): Command {
  return new Command('serve')
    .description('run a Microsandbox server that stock Microsandbox clients can use')
    .option('--host <address>', 'address to listen on')
    .option('--port <port>', 'port to listen on; 0 takes any free one')
    .action(async (options: { host?: string; port?: string }, command: Command) => {
      const { config } = await loadCliConfig(command, [
        { key: 'server.host', flag: '--host', value: options.host },
        { key: 'server.port', flag: '--port', value: options.port === undefined ? undefined : Number(options.port) },
      ]);
      const signal = onInterrupt();
      const budget = openBudget(config);
      await using driver = await createDriver(config, { budget, survives: true });
      await prepareDriver(driver, sayProgress);
      const { host, port, hosts, apiKey } = config.server;
      const store = openKeyStore(config);
      const hasKeys = apiKey !== undefined || (await store.list()).some(({ active }) => active);
      const ofThisRun = hasKeys ? undefined : newApiKey();
      const secrets = [apiKey, ofThisRun].filter((secret) => secret !== undefined);
      const keys = [store, ...secrets] as const;
      await using server = await serveSandboxes(config, driver, { host, port, hosts, keys, budget, keepsState: true });
      say(`Microsandbox server with ${driver.isolation} isolation (${driver.name}); stop it with Ctrl-C`);
      if (ofThisRun !== undefined)
        say('There are no keys yet: this one is for administrators, until the server stops; see: workcell key create');
      const placeholder = apiKey === undefined ? '<a key of workcell key create>' : '<server.apiKey>';
      print(`MSB_BACKEND=cloud MSB_API_URL=${server.url} MSB_API_KEY=${ofThisRun?.reveal() ?? `'${placeholder}'`}`);
      if (!signal.aborted) await once(signal, 'abort');
      say('Stopping');
    });
}
