import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StdioServer } from '../../src/upstream/upstream-server.ts';
import { Secret } from '../../src/util/secret.ts';
import type { DoubleSpec } from './mcp-double/spec.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DOUBLE = join(ROOT, 'test/support/mcp-double/main.ts');

/** A double of an MCP server, as a child process. */
export function doubleServer(spec: DoubleSpec, options: Partial<StdioServer> = {}): StdioServer {
  return stdioServer(process.execPath, [DOUBLE, JSON.stringify(spec)], options);
}

export function stdioServer(command: string, args: readonly string[], options: Partial<StdioServer> = {}): StdioServer {
  return { kind: 'stdio', command, args, env: {}, cwd: ROOT, timeoutMs: 30_000, ...options };
}

/** The three official servers over stdio; what they write goes below `folder`. */
export function officialServers(folder: string): Readonly<Record<'filesystem' | 'memory' | 'everything', StdioServer>> {
  const memory = { MEMORY_FILE_PATH: new Secret(join(folder, 'memory.jsonl')) };
  return {
    filesystem: stdioServer(binary('mcp-server-filesystem'), [folder]),
    memory: stdioServer(binary('mcp-server-memory'), [], { env: memory }),
    everything: stdioServer(binary('mcp-server-everything'), ['stdio']),
  };
}

export interface HttpEverything extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
}

/** The official `everything` server over streamable HTTP, or over SSE, listening when this resolves. */
export async function startHttpEverything(port?: number, transport = 'streamableHttp'): Promise<HttpEverything> {
  const chosen = port ?? (await freePort());
  const child = spawn(binary('mcp-server-everything'), [transport], {
    env: { ...process.env, PORT: String(chosen) },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = once(child, 'exit');
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  // Read to its end: a server that cannot write there dies of it.
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error('The server has ended by itself')));
    child.stderr.on('data', (chunk) => {
      if (/listening|running on port/.test(String(chunk))) resolve();
    });
  });
  const path = transport === 'sse' ? 'sse' : 'mcp';
  return { url: `http://127.0.0.1:${chosen}/${path}`, port: chosen, kill, [Symbol.asyncDispose]: kill };
}

/** A port of the loopback interface that nobody listens on, and that the kernel gives to nobody who has not asked for it. */
export async function freePort(): Promise<number> {
  for (;;) {
    // Linux chooses from 32768 upwards, for connections too: such a port may be another's before it is listened on.
    const port = randomInt(16_384, 32_768);
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

function binary(name: string): string {
  return join(ROOT, 'node_modules/.bin', name);
}
