// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the notation is what is tested
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeConfig } from '../../../src/config/describe-config.ts';
import { type LoadConfigOptions, type LoadedConfig, loadConfig } from '../../../src/config/load-config.ts';
import { configKeys } from '../../../src/config/schema.ts';
import { DEFAULT_LIMITS } from '../../../src/core/limits.ts';
import type { UpstreamServer } from '../../../src/upstream/upstream-server.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
beforeEach(async () => {
  folder = await tempFolder();
});
afterEach(() => folder[Symbol.asyncDispose]());

const load = (options: Partial<LoadConfigOptions> = {}): Promise<LoadedConfig> =>
  loadConfig({ env: {}, cwd: folder.path, ...options });
const write = (text: string): Promise<void> => writeFile(join(folder.path, 'config.yaml'), text);

/** What is wrong, line by line. */
async function problems(text: string, options: Partial<LoadConfigOptions> = {}): Promise<readonly string[]> {
  await write(text);
  const error = await load(options).then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toMatchObject({ code: 'invalid_config' });
  return error.message
    .split('\n')
    .slice(1)
    .map((line: string) => line.trim());
}

async function origins(loaded: Promise<LoadedConfig>): Promise<Record<string, string>> {
  return Object.fromEntries(describeConfig(await loaded).map(({ key, origin }) => [key, origin]));
}

describe('without a file', () => {
  it('the defaults hold', async () => {
    const { config, file } = await load({ env: { HOME: '/home/ann' } });
    expect(file).toBeUndefined();
    expect(config).toEqual({
      paths: {
        workspaces: join(folder.path, 'workspaces'),
        servers: join(folder.path, 'servers'),
        skills: join(folder.path, 'skills'),
        cache: '/home/ann/.cache/workcell',
        server: join(folder.path, 'workspaces/.server'),
      },
      mcpServers: {},
      sandbox: {
        driver: 'auto',
        url: undefined,
        apiKey: undefined,
        image: 'host',
        memoryBytes: 512 * 1024 ** 2,
        cpus: 1,
        bootTimeoutMs: 60_000,
        idleTimeoutMs: 300_000,
        template: true,
        images: {},
        protocol: 'cloud',
        isolation: 'emulated',
        pool: 0,
        memoryCeilingBytes: undefined,
        processes: 1024,
        descriptors: 4096,
        network: { allow: [] },
      },
      workspace: {
        capacityBytes: undefined,
        inodes: undefined,
        maxFileBytes: 1024 ** 3,
        maxArchiveBytes: 4 * 1024 ** 3,
        maxArchiveFiles: 100_000,
        maxSnapshots: 20,
        shared: false,
        leaseMs: 30_000,
      },
      sessions: { maxSizeBytes: 256 * 1024 ** 2, retentionMs: undefined, encryptionKey: undefined, oldKeys: [] },
      server: {
        host: '127.0.0.1',
        port: 5555,
        hosts: [],
        apiKey: undefined,
        drainMs: 30_000,
        maxExecutions: 64,
        maxQueued: 1000,
        queueTimeoutMs: 60_000,
        requestsPerSecond: 500,
        failedKeysPerMinute: 600,
      },
      quotas: { default: {}, organisations: {}, customers: {} },
      tools: { observed: true },
      selector: {
        limit: 5,
        threshold: undefined,
        usage: true,
        embeddings: { mode: 'auto', offline: false, modelPath: undefined },
      },
      limits: DEFAULT_LIMITS,
      approvals: { holdMs: 300_000, expireMs: 604_800_000 },
      log: { level: 'warn' },
    });
  });

  it('XDG_CACHE_HOME moves the default cache', async () => {
    const { config } = await load({ env: { HOME: '/home/ann', XDG_CACHE_HOME: '/var/xdg' } });
    expect(config.paths.cache).toBe('/var/xdg/workcell');
  });

  it('a file that was asked for must be there', async () => {
    await expect(load({ path: 'missing.yaml' })).rejects.toThrow(/missing\.yaml": there is no such file/);
    await expect(load({ env: { WORKCELL_CONFIG: 'gone.yaml' } })).rejects.toMatchObject({ code: 'invalid_config' });
  });
});

describe('layers', () => {
  it('stand above one another: defaults, file, environment, flags', async () => {
    const text = 'sandbox:\n  url: http://file\n  cpus: 2\nlimits: { timeout: 1m }\nlog:\n  level: info\n';
    await write(text);
    const env = { MSB_SERVER_URL: 'http://env', WORKCELL_LOG_LEVEL: 'debug' };
    const flags = [
      { key: 'log.level', flag: '--log-level', value: 'trace' },
      { key: 'limits.timeout', flag: '--timeout', value: undefined },
    ];
    const { config } = await load({ env, flags });
    expect(config.sandbox).toMatchObject({ driver: 'auto', cpus: 2, url: 'http://env' });
    expect(config.limits.timeoutMs).toBe(60_000);
    expect(config.log.level).toBe('trace');
    expect(await origins(load({ env, flags }))).toMatchObject({
      'sandbox.driver': 'default',
      'sandbox.cpus': 'config.yaml:3',
      'sandbox.url': 'env MSB_SERVER_URL',
      'limits.timeout': 'config.yaml:4',
      'log.level': 'flag --log-level',
    });
  });

  it.each([
    ['MSB_SERVER_URL', 'http://msb', 'sandbox.url'],
    ['MSB_API_KEY', 'msb_1', 'sandbox.apiKey'],
    ['WORKCELL_API_KEY', 'key', 'server.apiKey'],
    ['WORKCELL_CACHE_DIR', '/cache', 'paths.cache'],
    ['WORKCELL_LOG_LEVEL', 'error', 'log.level'],
  ])('%s sets its key, and an empty one does not', async (name, value, key) => {
    expect((await origins(load({ env: { [name]: value } })))[key]).toBe(`env ${name}`);
    expect((await origins(load({ env: { [name]: '' } })))[key]).toBe('default');
  });

  it('flags take text for numbers', async () => {
    const flags = [{ key: 'server.port', flag: '--port', value: '0' }];
    expect((await load({ flags })).config.server.port).toBe(0);
  });

  it('a path given as an option stands above WORKCELL_CONFIG', async () => {
    await writeFile(join(folder.path, 'a.yaml'), 'sandbox: { cpus: 3 }');
    await writeFile(join(folder.path, 'b.yaml'), 'sandbox: { cpus: 4 }');
    const env = { WORKCELL_CONFIG: 'b.yaml' };
    expect((await load({ env })).config.sandbox.cpus).toBe(4);
    expect((await load({ env, path: 'a.yaml' })).config.sandbox.cpus).toBe(3);
  });
});

describe('paths', () => {
  it('of the file start at its folder, those of the environment and of flags at the working directory', async () => {
    await mkdir(join(folder.path, 'etc'));
    await writeFile(
      join(folder.path, 'etc/config.yaml'),
      'paths: { servers: ./tools }\nsandbox: { image: ../images/a }\n',
    );
    const flags = [{ key: 'paths.skills', flag: '--skills', value: 'mine' }];
    const { config } = await load({ path: 'etc/config.yaml', env: { WORKCELL_CACHE_DIR: 'cache' }, flags });
    expect(config.paths).toEqual({
      workspaces: join(folder.path, 'etc/workspaces'),
      servers: join(folder.path, 'etc/tools'),
      skills: join(folder.path, 'mine'),
      cache: join(folder.path, 'cache'),
      server: join(folder.path, 'etc/workspaces/.server'),
    });
    expect(config.sandbox.image).toBe(join(folder.path, 'images/a'));
  });

  it('an image that is no path is left as it is', async () => {
    await write('sandbox: { image: registry.example.com/a/b:1 }');
    expect((await load()).config.sandbox.image).toBe('registry.example.com/a/b:1');
  });
});

describe('MCP servers', () => {
  it('over stdio have their defaults, and their command is looked up beside the file first', async () => {
    const bin = join(folder.path, 'node_modules/.bin');
    await mkdir(bin, { recursive: true });
    await writeFile(join(bin, 'installed'), '');
    await chmod(join(bin, 'installed'), 0o755);
    await write(
      'mcpServers:\n  a: { command: installed }\n  b: { command: elsewhere, args: [x], cwd: sub, timeout: 5s }\n  c: { command: ./own }\n',
    );
    const servers: Readonly<Record<string, UpstreamServer>> = (await load()).config.mcpServers;
    const common = { kind: 'stdio', args: [], env: {}, cwd: folder.path, timeoutMs: 60_000 };
    const policy = { idempotencyKey: false, perCustomer: false, quarantine: false, requireApproval: 'never' };
    expect(servers).toEqual({
      a: { ...common, ...policy, command: join(bin, 'installed') },
      b: { ...common, ...policy, command: 'elsewhere', args: ['x'], cwd: join(folder.path, 'sub'), timeoutMs: 5_000 },
      c: { ...common, ...policy, command: join(folder.path, 'own') },
    });
  });

  it('have a policy for their tools', async () => {
    await write(
      'mcpServers:\n  a:\n    command: x\n    allowedTools: ["get_*"]\n    excludeTools: [get_b]\n    perCustomer: true\n    quarantine: true\n    requireApproval: [delete_*]\n',
    );
    const policy = {
      allowedTools: ['get_*'],
      excludeTools: ['get_b'],
      perCustomer: true,
      quarantine: true,
      requireApproval: ['delete_*'],
    };
    expect((await load()).config.mcpServers['a']).toMatchObject(policy);
  });

  it.each([
    ['args: ["${customer:k}"]', "args[0]: must not hold a customer's credential"],
    ['cwd: "/x/${CUSTOMER_ID}"', 'cwd: is the same for all customers'],
  ])('differ from customer to customer only where nobody else sees it: %s', async (line, problem) => {
    const found = await problems(`mcpServers:\n  a:\n    command: x\n    ${line}\n`);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`mcpServers.a.${problem}`);
  });

  it('show in no listing of the configuration what they are filled in with', async () => {
    await write('mcpServers:\n  a:\n    command: x\n    args: ["${CUSTOMER_ID}"]\n    env: { T: "${customer:k}" }\n');
    const { values } = await load();
    expect(values.find(({ path }) => path.at(-1) === 'args')?.value).toEqual(['${CUSTOMER_ID}']);
    expect(String(values.find(({ path }) => path.at(-1) === 'T')?.value)).toBe('[redacted]');
  });

  it('over HTTP hold their headers as secrets', async () => {
    await write(
      'mcpServers:\n  web:\n    url: https://example.com/mcp\n    headers: { Authorization: "Bearer ${TOKEN}" }\n',
    );
    const server = (await load({ env: { TOKEN: 't0ken' } })).config.mcpServers['web'];
    expect(server).toMatchObject({ kind: 'http', url: 'https://example.com/mcp', timeoutMs: 60_000 });
    expect(server?.kind === 'http' && server.headers['Authorization']?.reveal()).toBe('Bearer t0ken');
  });

  it.each([
    ['{}', 'needs "command" (stdio) or "url" (streamable HTTP), and not both'],
    ['{ command: x, url: "http://x" }', 'needs "command" (stdio) or "url" (streamable HTTP), and not both'],
    ['{ command: x, headers: { a: b } }', 'has "command", with which "headers" mean nothing'],
    ['{ url: "http://x", args: [] }', 'has "url", with which "args", "env" and "cwd" mean nothing'],
  ])('%s is refused', async (entry, message) => {
    expect(await problems(`mcpServers:\n  a: ${entry}\n`)).toEqual([`config.yaml:2: mcpServers.a: ${message}`]);
  });

  it.each(['runtime', 'Upper', 'dot.ted', '-dash', 'a/b', `${'n'.repeat(64)}`])('cannot be called %s', async (name) => {
    const found = await problems(`mcpServers:\n  "${name}": { command: x }\n`);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`config.yaml:2: mcpServers.${name}: is `);
  });
});

describe('variables', () => {
  it('are replaced in every text, and are never read as YAML', async () => {
    await write('mcpServers:\n  a:\n    command: x\n    args: ["${ODD}", "$${ODD}"]\n    env: { V: "${ODD}" }\n');
    const odd = '{b: 1} # no comment\n- "x';
    const server = (await load({ env: { ODD: odd } })).config.mcpServers['a'];
    expect(server?.kind === 'stdio' && server.args).toEqual([odd, '${ODD}']);
    expect(server?.kind === 'stdio' && server.env['V']?.reveal()).toBe(odd);
  });

  it('can give numbers and switches', async () => {
    await write(
      'server: { port: "${PORT}" }\nsandbox: { template: "${T}", memory: "${M}" }\nselector: { threshold: "${S}" }',
    );
    const { config } = await load({ env: { PORT: '8080', T: 'false', M: '1G', S: '0.5' } });
    expect(config.server.port).toBe(8080);
    expect(config.sandbox).toMatchObject({ template: false, memoryBytes: 1024 ** 3 });
    expect(config.selector.threshold).toBe(0.5);
  });

  it('CONFIG_DIR is the folder of the file', async () => {
    await write('mcpServers:\n  a:\n    command: x\n    args: ["${CONFIG_DIR}/data"]\n');
    const server = (await load({ env: { CONFIG_DIR: '/elsewhere' } })).config.mcpServers['a'];
    expect(server?.kind === 'stdio' && server.args).toEqual([join(folder.path, 'data')]);
  });

  it('that are missing are reported with key, line and name, and not once more for their place', async () => {
    const text =
      'log:\n  level: ${NOPE}\nmcpServers:\n  a:\n    command: x\n    args:\n      - fine\n      - ${EMPTY}\n';
    expect(await problems(text, { env: { EMPTY: '' } })).toEqual([
      'config.yaml:2: log.level: the environment variable NOPE is not set',
      'config.yaml:8: mcpServers.a.args[1]: the environment variable EMPTY is empty',
    ]);
  });
});

describe('quotas', () => {
  it('are those of everybody, of organisations and of customers, whose names may have a dot', async () => {
    await write(
      'quotas:\n  default: { executions: 4, disk: 1G }\n  organisations: { acme: { executions: 0 } }\n  customers:\n    acme.ann: { cpuSecondsPerDay: 60, executionsPerMinute: "${N}" }\n    bob: {}\n',
    );
    expect((await load({ env: { N: '7' } })).config.quotas).toEqual({
      default: { executions: 4, diskBytes: 1024 ** 3 },
      organisations: { acme: { executions: 0 } },
      customers: { 'acme.ann': { cpuSecondsPerDay: 60, executionsPerMinute: 7 }, bob: {} },
    });
  });

  it('of what is no customer or organisation are refused', async () => {
    const text =
      'quotas:\n  organisations:\n    a.b: { executions: 1 }\n  customers:\n    a.b.c: { executions: 1 }\n    default.ann: { executions: 1 }\n    ann: { executions: -1 }\n';
    expect(await problems(text)).toEqual([
      'config.yaml:3: quotas.organisations.a.b: is not the name of an organisation',
      'config.yaml:5: quotas.customers.a.b.c: is not the name of a customer',
      'config.yaml:6: quotas.customers.default.ann: is not the name of a customer',
      'config.yaml:7: quotas.customers.ann.executions: must be a whole number from 0 to 1000000',
    ]);
  });
});

describe('strictness', () => {
  it('names the nearest key and the line of an unknown one', async () => {
    expect(await problems('sandbox:\n  cpus: 1\n  memroy: 1G\n')).toEqual([
      'config.yaml:3: sandbox.memroy: is not a known key; did you mean "memory"?',
    ]);
    expect(await problems('mcpserver: {}\n')).toEqual([
      'config.yaml:1: mcpserver: is not a known key; did you mean "mcpServers"?',
    ]);
  });

  it('reports all problems of a file and of other layers at once, in order', async () => {
    const text = 'sandbox:\n  bootTimeout: soon\n  cpus: 0\nlimits: 5\nserver:\n  port: 65536\n';
    const found = await problems(text, { env: { MSB_SERVER_URL: 'ftp://x', WORKCELL_LOG_LEVEL: 'loud' } });
    expect(found).toEqual([
      'config.yaml:2: sandbox.bootTimeout: "soon" is not a duration such as 500ms, 30s, 5m, 1h or 30d',
      'config.yaml:3: sandbox.cpus: must be a whole number from 1 to 1024',
      'config.yaml:4: limits: must hold keys and values',
      'config.yaml:6: server.port: must be a whole number from 0 to 65535',
      'env MSB_SERVER_URL: sandbox.url: must be an http:// or https:// URL',
      expect.stringContaining('env WORKCELL_LOG_LEVEL: log.level: must be one of fatal, error'),
    ]);
  });

  it.each([
    ['sandbox: { url: "http://u:p@x" }', 'must not hold a user name or password'],
    ['sandbox: { apiKey: 12345 }', 'must be text; put it in quotes'],
    ['sandbox: { driver: docker }', 'must be one of auto, microsandbox, qemu, bubblewrap'],
    ['sandbox: { template: yes }', 'must be true or false'],
    ['sandbox: { apiKey: "" }', 'must not be empty'],
    [
      'sandbox: { network: { allow: [example.com, "a b:443"] } }',
      'config.yaml:1: sandbox.network.allow[1]: "a b:443" is not a destination; write a domain',
    ],
    ['sandbox: { network: { allow: ["x:0"] } }', 'sandbox.network.allow[0]: "x:0" is not a destination'],
    ['sandbox: { network: { allow: [443] } }', 'sandbox.network.allow[0]: must be text; put it in quotes'],
    [
      'mcpServers: { my-x: { command: a }, my_x: { command: a } }',
      'mcpServers: "my-x" and "my_x" would both be "servers.my_x" in Python; rename one of them',
    ],
    ['tools: { observed: maybe }', 'must be true or false'],
    ['selector: { threshold: 1.1 }', 'must be a number from 0 to 1'],
    ['limits: { value: -1M }', 'is not a size'],
    ['mcpServers: { a: { command: x, requireApproval: sometimes } }', 'must be never, always, or a list of tools'],
    ['mcpServers: { a: { command: x, requireApproval: [""] } }', 'must be never, always, or a list of tools'],
    ['limits: { toolCalls: "" }', 'must be text or a number, and not empty'],
    ['log: { level: }', 'must be one of'],
    ['- a\n- b', 'must hold keys and values'],
    ['just text', 'must hold keys and values'],
    ['log: {}\nlog: {}', 'keys must be unique'],
    ['a: [1', 'Flow sequence'],
    ['"sandbox.cpus": 2', 'is not a known key'],
    ['__proto__: { cpus: 2 }', 'is not a known key'],
    ['sandbox: { __proto__: { cpus: 2 } }', 'is not a known key'],
    ['x: &x\n  y: *x', 'is not a known key'],
  ])('refuses %j', async (text, message) => {
    expect((await problems(text)).join('\n')).toContain(message);
  });

  it.each(['', '# nothing', 'sandbox:\nlimits: {}\nmcpServers:\n'])('takes %j for no change', async (text) => {
    await write(text);
    const { config } = await load({ env: { HOME: '/h' } });
    await rm(join(folder.path, 'config.yaml'));
    expect(config).toEqual((await load({ env: { HOME: '/h' } })).config);
  });

  it('quotes no line of a file that cannot be read', async () => {
    const found = await problems('sandbox:\n  apiKey: "s3cret\n');
    expect(found.join('\n')).toMatch(/config\.yaml:\d/);
    expect(found.join('\n')).not.toContain('s3cret');
  });
});

describe('the result', () => {
  it('is frozen to its leaves', async () => {
    await write('mcpServers: { a: { command: x, args: [y] } }');
    const { config } = await load();
    const server = config.mcpServers['a'];
    expect(() => Object.assign(config.paths, { cache: '/x' })).toThrow(TypeError);
    expect(() => server?.kind === 'stdio' && (server.args as string[]).push('z')).toThrow(TypeError);
  });

  it('shows no secret, printed or described, whatever key holds the variable', async () => {
    await write(
      'mcpServers:\n  a: { command: x, args: ["--key=${KEY}"], env: { K: "${KEY}" } }\nserver: { apiKey: "${KEY}" }\n',
    );
    const loaded = await load({ env: { KEY: 's3cret', MSB_API_KEY: 's3cret' } });
    const rows = describeConfig(loaded);
    expect(JSON.stringify(rows)).not.toContain('s3cret');
    expect(rows).toContainEqual({ key: 'sandbox.apiKey', value: '[redacted]', origin: 'env MSB_API_KEY' });
    expect(rows).toContainEqual({ key: 'mcpServers.a.env.K', value: '[redacted]', origin: 'config.yaml:2' });
    expect(rows).toContainEqual({ key: 'mcpServers.a.args', value: '["--key=${KEY}"]', origin: 'config.yaml:2' });
    expect(inspect(loaded.values, { depth: 9 })).not.toContain('s3cret');
    expect(JSON.stringify(loaded.config.server)).not.toContain('s3cret');
  });

  it('takes keys of sessions as hex or base64 of 32 bytes, and shows none of them', async () => {
    const [hex, base64] = ['ab'.repeat(32), Buffer.alloc(32, 7).toString('base64')];
    await write(`sessions: { encryptionKey: "${hex}", oldKeys: ["${base64}"], retention: 90d }\n`);
    const loaded = await load();
    expect(loaded.config.sessions.encryptionKey?.reveal()).toBe(hex);
    expect(loaded.config.sessions.oldKeys.map((key) => key.reveal())).toEqual([base64]);
    const shown = JSON.stringify(describeConfig(loaded));
    for (const key of [hex, base64]) expect(shown).not.toContain(key);
    await write('sessions: { encryptionKey: tooshort, oldKeys: ["no key"] }\n');
    await expect(load()).rejects.toThrow(
      /sessions.encryptionKey: must be 32 bytes as hex or base64[\s\S]*sessions.oldKeys/,
    );
  });

  it('describes every key of the schema once', async () => {
    const keys = describeConfig(await load()).map(({ key }) => key);
    expect(keys.toSorted()).toEqual(
      configKeys()
        .filter((key) => !key.includes('*'))
        .toSorted(),
    );
  });
});

describe('the config.yaml of the project', () => {
  const root = fileURLToPath(new URL('../../..', import.meta.url));

  it('loads, names three servers whose commands are installed, and says the defaults', async () => {
    const { config } = await loadConfig({ path: join(root, 'config.yaml'), env: { HOME: '/h' } });
    const bare = await load({ env: { HOME: '/h' } });
    expect(Object.keys(config.mcpServers)).toEqual(['filesystem', 'memory', 'everything']);
    for (const server of Object.values(config.mcpServers)) {
      expect(server.kind === 'stdio' && server.command).toContain(join(root, 'node_modules/.bin/mcp-server-'));
    }
    const { paths: _paths, mcpServers: _servers, ...rest } = config;
    expect(bare.config).toMatchObject(rest);
  });
});
