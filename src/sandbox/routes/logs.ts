import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { WorkcellError } from '../../core/errors.ts';
import { type LogSource, logQuerySchema } from '../../protocol/rest.ts';
import { decodeLogCursor, encodeLogCursor, type LogPosition } from '../log-cursor.ts';
import type { SandboxRegistry } from '../registry.ts';
import type { Sandbox } from '../sandbox.ts';
import type { LogEntry } from '../sandbox-log.ts';
import { findSandbox, parse } from './parse.ts';

/** What the stock clients ask for when their caller names nothing. */
const DEFAULT_SOURCES: readonly LogSource[] = ['stdout', 'stderr', 'output'];
const KEEP_ALIVE_MS = 15_000;

/**
 * `GET /v1/sandboxes/{id}/logs?sources=`: server-sent events, first what is kept, then what comes while the sandbox lives,
 * then `end`. `Last-Event-ID` goes on after that event, and is 410 when the log does not reach back that far.
 *
 * Source: superradcompany/microsandbox `sdk/rust/lib/backend/cloud/http.rs`.
 */
export function logRoutes(app: FastifyInstance, registry: SandboxRegistry): void {
  for (const path of ['/v1/sandboxes/by-name/:name/logs', '/v1/sandboxes/:id/logs']) {
    app.get(path, { exposeHeadRoute: false }, async (request, reply) => {
      const { sources = DEFAULT_SOURCES } = parse(logQuerySchema, request.query, 'query');
      const sandbox = findSandbox(registry, request);
      const from = positionOf(request.headers['last-event-id']);
      if (!sandbox.log.reaches(from)) {
        return reply.status(410).send({
          error: {
            code: 'log_position_gone',
            message: 'The log does not reach back to this event; read it from the start',
            details: null,
          },
        });
      }
      reply.hijack();
      await stream(reply.raw, sandbox, sources, from);
      return reply;
    });
  }
}

function positionOf(header: string | string[] | undefined): LogPosition | undefined {
  if (header === undefined || header === '') return undefined;
  try {
    return decodeLogCursor(String(header));
  } catch (cause) {
    throw new WorkcellError('invalid_argument', 'The header "Last-Event-ID" holds no id of this stream', { cause });
  }
}

async function stream(
  response: ServerResponse,
  sandbox: Sandbox,
  sources: readonly LogSource[],
  from: LogPosition | undefined,
): Promise<void> {
  const left = new AbortController();
  response.on('close', () => left.abort()).on('error', () => left.abort());
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(': the log\n\n');
  const keepAlive = setInterval(() => response.write(': keep-alive\n\n'), KEEP_ALIVE_MS);
  try {
    for await (const entry of sandbox.log.follow(from, () => sandbox.isLive, left.signal)) {
      if (!sources.includes(entry.source) || response.write(format(entry))) continue;
      await once(response, 'drain', { signal: left.signal }).catch(() => {});
    }
    if (!left.signal.aborted) response.write('event: end\ndata: {}\n\n');
  } catch {
    // A reader that fell behind what is kept finds out by its next request; there is no word for it within the stream.
  } finally {
    clearInterval(keepAlive);
    response.end();
  }
}

function format({ source, at, text, position }: LogEntry): string {
  const data = JSON.stringify({ source, ts: at.toISOString(), text });
  return `id: ${encodeLogCursor(position)}\nevent: log\ndata: ${data}\n\n`;
}
