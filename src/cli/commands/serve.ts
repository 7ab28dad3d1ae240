import { once } from 'node:events';
import { Command } from 'commander';
import { createDriver } from '../../workcell/driver-choice.ts';
import { newApiKey, prepareDriver, serveSandboxes } from '../../workcell/sandbox-backend.ts';
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
      await using driver = await createDriver(config);
      await prepareDriver(driver, sayProgress);
      const { host, port, apiKey: configured } = config.server;
      const apiKey = configured ?? newApiKey();
      await using server = await serveSandboxes(config, driver, { host, port, apiKey });
      say(`Microsandbox server with ${driver.isolation} isolation (${driver.name}); stop it with Ctrl-C`);
      print(
        `MSB_BACKEND=cloud MSB_API_URL=${server.url} MSB_API_KEY=${configured === undefined ? apiKey.reveal() : '<server.apiKey>'}`,
      );
      if (!signal.aborted) await once(signal, 'abort');
      say('Stopping');
    });
}
