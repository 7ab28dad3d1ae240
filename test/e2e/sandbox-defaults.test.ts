import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectAgent } from '../../src/executor/connect-agent.ts';
import { MicrosandboxClient } from '../../src/executor/microsandbox-client.ts';
import { RunnerSession } from '../../src/executor/runner-session.ts';
import { Deadline } from '../../src/util/deadline.ts';
import { Secret } from '../../src/util/secret.ts';
import { AgentClient } from '../support/agent-client.ts';
import { API_KEY, sandboxSpec } from '../support/sandbox-server.ts';
import { openStateServer, type StateServer } from '../support/state-server.ts';
import { tempFolder } from '../support/temp-folder.ts';

const RLIMITS = [{ resource: 'nofile', soft: 64, hard: 64 }];
const WHO = `
  const { readFileSync } = require('node:fs');
  return [process.getuid(), process.getgid(), /Max open files +(\\d+) +(\\d+)/.exec(readFileSync('/proc/self/limits', 'utf8')).slice(1)];`;

describe.each([
  ['qemu', '1000:1000', 1000],
  ['bubblewrap', 'root', 0],
])('user and rlimits of a sandbox of the driver %s', (driver, user, id) => {
  let stack: AsyncDisposableStack;
  let server: StateServer;
  let sandbox: string;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    const folder = stack.use(await tempFolder());
    server = stack.use(await openStateServer(folder.path, driver));
    ({ id: sandbox } = await server.start('limited', { rlimits: RLIMITS, runtime: { user } }));
  });

  afterAll(() => stack?.disposeAsync());

  it('hold for its commands', async () => {
    const client = await AgentClient.open(server, sandbox);
    stack.defer(() => client.socket.terminate());
    const { stdout } = await client.exec({ cmd: 'sh', args: ['-c', 'id -u; id -g; ulimit -Sn; ulimit -Hn'] });
    expect(stdout).toBe(`${id}\n${id}\n64\n64\n`);
    // A command may ask for other values, within what the hard limit lets it.
    const fewer = [{ resource: 'nofile', soft: 32, hard: 32 }];
    expect(await client.exec({ cmd: 'sh', args: ['-c', 'ulimit -n'], rlimits: fewer })).toMatchObject({
      stdout: '32\n',
    });
  });

  it('hold for its programs', async () => {
    using deadline = new Deadline('Connecting', 120_000);
    using connection = await connectAgent(
      new MicrosandboxClient({ url: server.url, apiKey: new Secret(API_KEY) }),
      sandbox,
      deadline,
    );
    const runner = new RunnerSession(connection);
    const handlers = { onStarted() {}, onOutput() {}, onCall: () => Promise.reject(new Error('There are no tools')) };
    const code = `export default (() => {${WHO}})()`;
    const { end } = await runner.run({ id: 'one', code, outputBytes: 1000, valueBytes: 1000 }, handlers);
    expect(end).toEqual({ kind: 'value', value: [id, id, ['64', '64']] });
  });

  it.runIf(driver === 'bubblewrap')('are refused by name where they cannot hold', async () => {
    const spec = { ...sandboxSpec('other'), runtime: { user: '1000' } };
    expect(await server.call('POST', '?start=true&wait_for=running&wait_timeout=60', spec)).toMatchObject({
      status: 'failed',
      last_failure_message: expect.stringContaining('the user "1000"'),
    });
  });
});
