import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { npmPackage } from '../npm-package.ts';
import { type CommandOutcome, command } from '../stock-clients.ts';

/** The last version before those of the protocol's next revision; its scenarios are those of 2025-11-25 and earlier. */
const CONFORMANCE = {
  name: '@modelcontextprotocol/conformance',
  version: '0.1.16',
  integrity: 'sha512-GI7qiN0r39/MH2srVUR3AXaEN0YLCro20lIBbnvc1frBhszenxvUifBuTzxeVQVagILfBzCIcnungUOma8OrgA==',
};

export interface Check {
  readonly id: string;
  readonly status: string;
  readonly errorMessage?: string;
}

/** The names of the scenarios for servers, or for clients. */
export async function listScenarios(of: 'server' | 'client'): Promise<readonly string[]> {
  const { stdout } = await conformance(['list', `--${of}`], {});
  return [...stdout.matchAll(/^ {2}- (\S+)/gm)].map(([, name = '']) => name);
}

/** Runs all server scenarios against a server, and gives the checks of each. */
export async function runServerScenarios(url: string, folder: string): Promise<ReadonlyMap<string, readonly Check[]>> {
  await conformance(['server', '--url', url, '--suite', 'all', '--output-dir', folder], {});
  return readChecks(folder, /^server-(.*)-\d{4}-\d\d-\d\dT/);
}

/** Lets a command, with the URL of a server at its end, be a client in one scenario; gives the checks. */
export async function runClientScenario(scenario: string, client: string, folder: string): Promise<readonly Check[]> {
  await conformance(['client', '--scenario', scenario, '--command', client, '--output-dir', folder], {});
  return [...(await readChecks(folder, /^(.*)-\d{4}-\d\d-\d\dT/)).values()].flat();
}

async function conformance(args: readonly string[], env: Readonly<Record<string, string>>): Promise<CommandOutcome> {
  const folder = await npmPackage(CONFORMANCE);
  const main = join(folder, 'node_modules', CONFORMANCE.name, 'dist/index.js');
  return await command(process.execPath, [main, ...args], { env });
}

async function readChecks(folder: string, name: RegExp): Promise<ReadonlyMap<string, readonly Check[]>> {
  const results = await readdir(folder);
  const entries = results.map(async (result) => {
    const checks: unknown = JSON.parse(await readFile(join(folder, result, 'checks.json'), 'utf8'));
    return [name.exec(result)?.[1] ?? result, checks as readonly Check[]] as const;
  });
  return new Map(await Promise.all(entries));
}
