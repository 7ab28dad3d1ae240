import { spawn } from 'node:child_process';
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
  await new Promise<void>((resolve) => {
    child.stderr.on('data', (chunk) => {
      if (/listening|running on port/.test(String(chunk))) resolve();
    });
  });
  const path = transport === 'sse' ? 'sse' : 'mcp';
  return { url: `http://127.0.0.1:${chosen}/${path}`, port: chosen, kill, [Symbol.asyncDispose]: kill };
}

/** A port of the loopback interface that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address !== 'object' || address === null) throw new Error('There is no free port');
  return address.port;
}

function binary(name: string): string {
  return join(ROOT, 'node_modules/.bin', name);
}
