/**
 * An MCP server with counters that outlive it, `node counter-server.ts FOLDER [keyed]`: an increment is a file that is there, synced,
 * or is not. With `keyed` one with a known `workcell/idempotencyKey` is answered with what it gave the first time; without,
 * every call counts.
 */
import { createHash, randomUUID } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { z } from 'zod';

const [folder = '.', mode] = process.argv.slice(2);
const server = new McpServer({ name: 'counter', version: '1' });

server.registerTool(
  'increment',
  {
    description: 'Counts one more. With waitMs a new increment is answered so many milliseconds later.',
    inputSchema: { counter: z.string(), mark: z.string().optional(), waitMs: z.number().optional() },
  },
  async ({ counter, mark = '', waitMs = 0 }, { _meta, signal }) => {
    const key = mode === 'keyed' ? _meta?.['workcell/idempotencyKey'] : undefined;
    const name = typeof key === 'string' ? createHash('sha256').update(key).digest('hex') : randomUUID();
    const { isNew, ...result } = await count(counter, name, mark);
    if (isNew && waitMs > 0) await setTimeout(waitMs, undefined, { signal });
    return answer(result);
  },
);

server.registerTool(
  'read',
  {
    description: 'The marks of the increments of a counter.',
    inputSchema: { counter: z.string() },
    annotations: { readOnlyHint: true },
  },
  async ({ counter }) => answer({ marks: await marksOf(counter) }),
);

await server.connect(new StdioServerTransport());
// Whoever started it is gone.
process.stdin.on('end', () => process.exit(0));

interface Counted {
  readonly isNew: boolean;
  readonly count: number;
  readonly mark: string;
}

/** Durable when it resolves; of two with the same name the second gives what the first has. */
async function count(counter: string, name: string, mark: string): Promise<Counted> {
  const directory = join(folder, counter);
  await mkdir(directory, { recursive: true });
  const path = join(directory, name);
  const draft = join(folder, `.${randomUUID()}`);
  const result = { count: (await readdir(directory)).length + 1, mark };
  await using file = await open(draft, 'wx');
  await file.writeFile(JSON.stringify(result));
  await file.sync();
  const isNew = await link(draft, path).then(
    () => true,
    () => false,
  );
  await rm(draft);
  await using entries = await open(directory);
  await entries.sync();
  return isNew ? { isNew, ...result } : { isNew, ...(JSON.parse(await readFile(path, 'utf8')) as typeof result) };
}

async function marksOf(counter: string): Promise<readonly string[]> {
  const directory = join(folder, counter);
  const names = await readdir(directory).catch(() => []);
  const marks = await Promise.all(names.map(async (name) => JSON.parse(await readFile(join(directory, name), 'utf8'))));
  return marks.map(({ mark }) => String(mark)).sort();
}

function answer(value: unknown) {
  return { content: [{ type: 'text' as const, text: JSON.stringify(value) }] };
}
