import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openApiServer } from '../support/api-server.ts';
import { FIXTURE_RESOURCES } from '../support/mcp-conformance/fixture-resources.ts';
import { fixtureTools } from '../support/mcp-conformance/fixture-tools.ts';
import { startKeyProxy } from '../support/mcp-conformance/key-proxy.ts';
import {
  NOT_APPLICABLE_TO_CLIENT,
  NOT_APPLICABLE_TO_SERVER,
  SERVER_WARNINGS,
} from '../support/mcp-conformance/not-applicable.ts';
import {
  type Check,
  listScenarios,
  runClientScenario,
  runServerScenarios,
} from '../support/mcp-conformance/run-scenarios.ts';
import { tempFolder } from '../support/temp-folder.ts';

const CLIENT = join(import.meta.dirname, '../support/mcp-conformance/upstream-client.ts');
const TIMEOUT_MS = 300_000;

describe("the protocol's own scenarios", { timeout: TIMEOUT_MS }, () => {
  it('are passed by the server over HTTP, all that apply to what it offers', async () => {
    await using folder = await tempFolder();
    const more = { tools: fixtureTools(), resources: FIXTURE_RESOURCES };
    await using server = await openApiServer({ driver: 'quiet', mcp: { more } });
    await using proxy = await startKeyProxy(server.url, server.key);

    const scenarios = await listScenarios('server');
    const results = await runServerScenarios(`${proxy.url}/customers/conformance/mcp`, folder.path);

    expect([...results.keys()].sort()).toEqual([...scenarios].sort());
    expect(scenarios).toEqual(expect.arrayContaining(Object.keys(NOT_APPLICABLE_TO_SERVER)));
    const verdicts = scenarios.map((name) => [name, verdict(results.get(name), name in NOT_APPLICABLE_TO_SERVER)]);
    expect(verdicts).toEqual(scenarios.map((name) => [name, expectedOfServer(name)]));
  });

  it('are passed by the client of upstream servers, all that apply to what it does', async () => {
    await using folder = await tempFolder();
    const scenarios = await listScenarios('client');
    expect(scenarios).toEqual(expect.arrayContaining(Object.keys(NOT_APPLICABLE_TO_CLIENT)));
    const applicable = scenarios.filter((name) => !(name in NOT_APPLICABLE_TO_CLIENT));
    for (const name of applicable) {
      const checks = await runClientScenario(name, `${process.execPath} ${CLIENT}`, join(folder.path, name));
      expect([name, verdict(checks)]).toEqual([name, 'passed']);
    }
    expect(applicable).toEqual(['initialize', 'tools_call', 'sse-retry']);
  });
});

function expectedOfServer(name: string): string {
  if (name in NOT_APPLICABLE_TO_SERVER) return 'does not apply';
  return name in SERVER_WARNINGS ? 'passed, with warnings' : 'passed';
}

/** A scenario that does not apply must not be passed, either: the feature that it is about would be there. */
function verdict(checks: readonly Check[] = [], appliesNot = false): string {
  const failures = checks.filter(({ status }) => status === 'FAILURE');
  if (appliesNot && failures.length > 0) return 'does not apply';
  if (failures.length > 0) return failures.map(({ id, errorMessage }) => `${id}: ${errorMessage}`).join('\n');
  if (checks.some(({ status }) => status === 'WARNING')) return 'passed, with warnings';
  return checks.some(({ status }) => status === 'SUCCESS') ? 'passed' : 'no check was made';
}
