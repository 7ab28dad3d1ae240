import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { WorkcellClient } from '../../../src/client/index.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

interface Scripted extends AsyncDisposable {
  readonly client: WorkcellClient;
  /** The requests so far. */
  readonly seen: readonly string[];
}

/** A server that gives one answer after the other, and the last of them from then on. */
async function scripted(...answers: readonly Answer[]): Promise<Scripted> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    const answer = answers[Math.min(seen.length, answers.length - 1)];
    seen.push(`${request.method} ${request.url}`);
    request.resume().once('end', () => answer?.(request, response));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    client: new WorkcellClient({ url, apiKey: 'msb_x' }),
    seen,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

const hangUp: Answer = ({ socket }) => socket.destroy();
const json =
  (body: unknown, status = 200, headers: Record<string, string> = {}): Answer =>
  (_request, response) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
const refusal = (status: number, code: string, headers?: Record<string, string>) =>
  json({ code, detail: 'No', status }, status, headers);
/** Says more than it sends. */
const half =
  (body: string): Answer =>
  ({ socket }, response) => {
    response.writeHead(200, { 'content-length': String(2 * body.length), etag: '"v"' });
    response.write(body, () => socket.destroy());
  };
const whole =
  (body: string): Answer =>
  (_request, response) =>
    response.writeHead(200, { etag: '"v"' }).end(body);

const page = { items: [], nextCursor: null };
const list = ({ client }: Scripted, signal?: AbortSignal) => client.call('GET /customers', { query: {}, signal });
const newKey = ({ client }: Scripted) => client.call('POST /keys', { body: { name: 'a' } });

describe('a request', () => {
  it.each([
    ['was hung up on', hangUp],
    ['has half an answer', half('{"items"')],
    ['was refused for now', refusal(429, 'busy', { 'retry-after': '0' })],
    ['was refused by a server that stops', refusal(503, 'shutting_down')],
    ['was refused by a proxy', (_request, response) => response.writeHead(502).end('<html>')],
  ] satisfies readonly [string, Answer][])('that reads and %s is sent again', async (_what, answer) => {
    await using server = await scripted(answer, json(page));
    expect(await list(server)).toEqual(page);
    expect(server.seen).toHaveLength(2);
  });

  it.each([
    ['was hung up on', hangUp, 'server_unreachable'],
    ['has half an answer', half('{"id"'), 'server_unreachable'],
    ['has failed below the server', refusal(502, 'sandbox_lost'), 'sandbox_lost'],
    ['was refused for good', refusal(400, 'invalid_argument'), 'invalid_argument'],
  ] satisfies readonly [string, Answer, string][])(
    'that makes something and %s is not',
    async (_what, answer, code) => {
      await using server = await scripted(answer, json({}, 201));
      await expect(newKey(server)).rejects.toMatchObject({ code });
      expect(server.seen).toHaveLength(1);
    },
  );

  it.each([
    ['a quota that waiting alone does not free', refusal(429, 'quota_exceeded'), 'quota_exceeded'],
    ['a wait of an hour', refusal(429, 'quota_exceeded', { 'retry-after': '3600' }), 'quota_exceeded'],
    ['what an operator has to mend', refusal(503, 'driver_unavailable'), 'driver_unavailable'],
    ['an answer that is no JSON', whole('<html>'), 'protocol_error'],
  ] satisfies readonly [string, Answer, string][])('is not sent again for %s', async (_what, answer, code) => {
    await using server = await scripted(answer, json(page));
    await expect(list(server)).rejects.toMatchObject({ code });
    expect(server.seen).toHaveLength(1);
  });

  it('waits as long as the server asks for', async () => {
    await using server = await scripted(refusal(429, 'busy', { 'retry-after': '1' }), json(page));
    const start = performance.now();
    await list(server);
    expect(performance.now() - start).toBeGreaterThan(950);
  });

  it.each([
    ['its answer', () => {}],
    ['the next attempt', refusal(429, 'busy', { 'retry-after': '60' })],
  ] satisfies readonly [string, Answer][])(
    'that is aborted while it waits for %s throws the reason',
    async (_what, answer) => {
      const asked = Promise.withResolvers<void>();
      const told: Answer = (request, response) => {
        answer(request, response);
        response.writableEnded ? response.once('finish', () => asked.resolve()) : asked.resolve();
      };
      await using server = await scripted(told);
      const aborting = new AbortController();
      const reason = new Error('enough');
      void asked.promise.then(() => aborting.abort(reason));
      await expect(list(server, aborting.signal)).rejects.toBe(reason);
    },
  );
});

describe('a file', () => {
  it('that breaks off is read again', async () => {
    await using server = await scripted(half('one'), whole('onetwo'));
    const { bytes, version } = await server.client.customer('ann').readFile('a');
    expect([Buffer.from(bytes).toString(), version]).toEqual(['onetwo', 'v']);
  });

  it('is sent again only when no condition could be met by the first time', async () => {
    await using server = await scripted(hangUp, whole('{}'));
    const files = server.client.customer('ann');
    await expect(files.writeFile('a', 'x', { isNew: true })).rejects.toMatchObject({ code: 'server_unreachable' });
    expect(server.seen).toHaveLength(1);
    expect(await files.writeFile('a', 'x')).toBe('v');
    await using other = await scripted(hangUp, whole('{}'));
    expect(await other.client.customer('ann').writeFile('a', 'x')).toBe('v');
    expect(other.seen).toHaveLength(2);
  });
});

it('an archive that breaks off is no whole one', async () => {
  await using server = await scripted(half('half'));
  const read = async () => {
    let text = '';
    for await (const chunk of await server.client.customer('ann').downloadArchive())
      text += Buffer.from(chunk).toString();
    return text;
  };
  await expect(read()).rejects.toMatchObject({ code: 'server_unreachable' });
});

describe('an execution', () => {
  const line = (seq: number, type = 'stdout') => `${JSON.stringify({ seq, type, text: String(seq) })}\n`;
  const finished = (seq: number) => `${JSON.stringify({ seq, type: 'finished', result: { status: 'completed' } })}\n`;
  const events =
    (text: string): Answer =>
    ({ socket }, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.write(text, () => socket.destroy());
    };

  it('is told on where its stream broke off, also in the middle of a line', async () => {
    await using server = await scripted(
      events(line(1) + line(2).slice(0, 9)),
      hangUp,
      events(line(2) + line(3)),
      whole(line(3) + finished(4)),
    );
    const told: number[] = [];
    for await (const { seq } of server.client.customer('ann').stream({ code: '1', executionId: 'e1' })) told.push(seq);
    expect(told).toEqual([1, 2, 3, 4]);
    const path = '/customers/ann/executions';
    expect(server.seen).toEqual([
      `POST ${path}`,
      `GET ${path}/e1?after=1&follow=true`,
      `GET ${path}/e1?after=1&follow=true`,
      `GET ${path}/e1?after=3&follow=true`,
    ]);
  });

  it('that is known to its end has no further event', async () => {
    const summary = { executionId: 'e1', lastSeq: 4, result: { status: 'completed' } };
    await using server = await scripted(whole(''), json(summary));
    expect(await server.client.customer('ann').follow('e1', { after: 4 }).next()).toMatchObject({ done: true });
    expect(server.seen).toHaveLength(2);
    await using running = await scripted(whole(''), json({ ...summary, result: null }), whole(finished(5)));
    const { value } = await running.client.customer('ann').follow('e1', { after: 4 }).next();
    expect(value).toMatchObject({ seq: 5, type: 'finished' });
  });

  it('that is aborted while its stream is silent throws the reason', async () => {
    await using server = await scripted((_request, response) => void response.writeHead(200).write(line(1)));
    const aborting = new AbortController();
    const reason = new Error('enough');
    const follow = async () => {
      for await (const _ of server.client.customer('ann').follow('e1', { signal: aborting.signal }))
        aborting.abort(reason);
    };
    await expect(follow()).rejects.toBe(reason);
    expect(server.seen).toHaveLength(1);
  });

  it('whose history is gone is asked for once', async () => {
    await using server = await scripted(refusal(410, 'history_gone'));
    const next = server.client.customer('ann').follow('e1').next();
    await expect(next).rejects.toMatchObject({ code: 'history_gone', details: { status: 410 } });
    expect(server.seen).toHaveLength(1);
  });
});
