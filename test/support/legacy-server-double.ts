import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';

/** In which ways it is worse than a server has to be; all of them are the original's. */
export interface Misbehaviour {
  /** Commands fail, unexplained, for this many calls after a start that claimed success. Infinity: for ever. */
  readonly claimsToRun?: number;
  /** The folder that has the `node` of its image; default that of this very process. */
  readonly node?: string;
}

export interface LegacyServerDouble extends AsyncDisposable {
  readonly url: string;
  /** Every method that was called, with the sandbox's name, in order. */
  readonly calls: readonly string[];
  /** Kills all sandboxes, as a crash would. */
  crash(): void;
}

interface DoubleSandbox {
  readonly volumes: readonly string[];
  readonly children: Set<ChildProcess>;
  unready: number;
}

const KEY = 'msb_of-the-double';
export const DOUBLE_KEY: string = KEY;

/**
 * Answers as a server of Microsandbox 0.2.6 does, with namespaces in place of virtual machines: claims success for sandboxes
 * that do not run, ignores the configuration of one that does, masks every failure, loses the last line of every output,
 * goes on with commands whose client has left, and rejects mounts within mounts.
 */
export async function startLegacyServer(options: Misbehaviour = {}): Promise<LegacyServerDouble> {
  const { claimsToRun = 0, node = dirname(process.execPath) } = options;
  const sandboxes = new Map<string, DoubleSandbox>();
  const calls: string[] = [];
  const crash = () => {
    for (const { children } of sandboxes.values()) for (const child of children) child.kill('SIGKILL');
    sandboxes.clear();
  };
  const server = createServer((request, response) => {
    answer(request).then(
      (result) => send(response, 200, { jsonrpc: '2.0', id: '1', result }),
      (error: unknown) => send(response, ...refusalOf(error)),
    );
  });

  const answer = async (request: IncomingMessage): Promise<unknown> => {
    if (request.headers.authorization !== `Bearer ${KEY}`) throw new Refusal(401, 'Invalid or expired token', 1004);
    const { method, params } = JSON.parse(Buffer.concat(await Array.fromAsync(request)).toString());
    const name = `${params.namespace}/${params.sandbox}`;
    calls.push(`${method} ${name}`);
    if (method === 'sandbox.start') {
      const volumes: string[] = params.config.volumes;
      if (overlap(volumes)) throw new Error('overlapping guest paths');
      if (!sandboxes.has(name)) sandboxes.set(name, { volumes, children: new Set(), unready: claimsToRun });
      return claimsToRun === 0
        ? `Sandbox ${params.sandbox} started successfully`
        : `Sandbox ${params.sandbox} was started, but timed out waiting for it to be fully running. It may still be initializing.`;
    }
    const sandbox = sandboxes.get(name);
    if (sandbox === undefined) throw new Error('no portal port assigned');
    if (method === 'sandbox.stop') {
      sandboxes.delete(name);
      for (const child of sandbox.children) child.kill('SIGKILL');
      return `Sandbox ${params.sandbox} stopped successfully`;
    }
    if (sandbox.unready-- > 0) throw new Error('failed to connect to portal');
    return runIn({ ...sandbox, node }, params);
  };

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('The double does not listen');
  return {
    url: `http://127.0.0.1:${address.port}`,
    calls,
    crash,
    [Symbol.asyncDispose]: async () => {
      crash();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

class Refusal extends Error {
  readonly status: number;
  readonly code: number;

  constructor(status: number, message: string, code: number) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

function refusalOf(error: unknown): [number, object] {
  if (error instanceof Refusal) return [error.status, { error: error.message, code: error.code }];
  return [500, { error: 'Internal server error', code: 5002 }];
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function overlap(volumes: readonly string[]): boolean {
  const guests = volumes.map((volume) => `${volume.slice(volume.indexOf(':') + 1)}/`);
  return guests.some((one, index) => guests.some((other, at) => at !== index && one.startsWith(other)));
}

interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly timeout?: number;
}

/** Ends it, and not what it has started, when its time is up. */
async function runIn(
  { volumes, children, node }: DoubleSandbox & { readonly node: string },
  { command, args, timeout }: Command,
): Promise<unknown> {
  const real = dirname(process.execPath);
  const mounts = volumes.flatMap((volume) => {
    const at = volume.indexOf(':');
    return ['--bind', volume.slice(0, at), volume.slice(at + 1)];
  });
  const system = ['bin', 'lib', 'lib64'].flatMap((name) => ['--symlink', `usr/${name}`, `/${name}`]);
  const options = ['--unshare-pid', '--die-with-parent', '--ro-bind', '/usr', '/usr', ...system, '--tmpfs', '/tmp'];
  const devices = [
    '--proc',
    '/proc',
    '--dev',
    '/dev',
    '--ro-bind',
    real,
    real,
    '--ro-bind',
    node,
    '/node',
    '--setenv',
    'PATH',
    '/node:/usr/bin',
  ];
  const child = spawn('bwrap', [...options, ...devices, ...mounts, '--chdir', '/workspace', command, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  const timer = timeout === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), timeout * 1000);
  const output: object[] = [];
  for (const stream of ['stdout', 'stderr'] as const) {
    let text = '';
    child[stream].setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    child[stream].on('end', () => output.push(...text.split('\n').map((line) => ({ stream, text: line }))));
  }
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  children.delete(child);
  if (code === null) throw new Error('the sandbox or its command was killed');
  return { command, args, exit_code: code, success: code === 0, output: output.slice(0, -2) };
}
