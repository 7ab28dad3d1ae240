// The log stream of the server alone: what the scripted guests "write" is what the test has them write.
import { once } from 'node:events';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RUNNER_COMMAND } from '../../../src/protocol/guest-bootstrap.ts';
import { decodeLogCursor, encodeLogCursor } from '../../../src/sandbox/log-cursor.ts';
import { AgentClient } from '../../support/agent-client.ts';
import { eventually } from '../../support/processes.ts';
import { openQuietServer, type QuietServer } from '../../support/quiet-server.ts';
import { API_KEY } from '../../support/sandbox-server.ts';
import { ScriptedDriver } from '../../support/scripted-driver.ts';

let server: QuietServer;
let driver: ScriptedDriver;
let id: string;
let streams: LogStream[];

beforeEach(async () => {
  driver = new ScriptedDriver();
  server = await openQuietServer({ driver });
  id = await server.start('logged');
  streams = [];
});

afterEach(async () => {
  for (const stream of streams) stream.close();
  await server[Symbol.asyncDispose]();
});

interface LogEvent {
  readonly id: string;
  readonly event: string;
  readonly data: { readonly source?: string; readonly ts?: string; readonly text?: string };
}

/** A plain reader of server-sent events. */
class LogStream {
  readonly events: LogEvent[] = [];
  ended = false;
  readonly #response: IncomingMessage;
  #buffer = '';

  constructor(response: IncomingMessage) {
    this.#response = response;
    response.setEncoding('utf8').on('data', (text: string) => this.#read(text));
    response.on('close', () => {
      this.ended = true;
    });
    response.on('error', () => {});
  }

  get texts(): string[] {
    return this.events.flatMap(({ data }) => (data.text === undefined ? [] : [data.text]));
  }

  close(): void {
    this.#response.destroy();
  }

  #read(text: string): void {
    this.#buffer += text;
    const blocks = this.#buffer.split('\n\n');
    this.#buffer = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = new Map(block.split('\n').map((line) => line.split(/: (.*)/s, 2) as [string, string]));
      const data = fields.get('data');
      if (data === undefined) continue;
      this.events.push({ id: fields.get('id') ?? '', event: fields.get('event') ?? '', data: JSON.parse(data) });
    }
  }
}

async function open(query = '', headers: Record<string, string> = {}, path = `/v1/sandboxes/${id}/logs`) {
  const request = httpGet(`${server.url}${path}${query}`, {
    headers: { authorization: `Bearer ${API_KEY}`, accept: 'text/event-stream', ...headers },
  });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  if (response.statusCode !== 200) {
    response.resume();
    return response.statusCode;
  }
  expect(response.headers['content-type']).toBe('text/event-stream');
  const stream = new LogStream(response);
  streams.push(stream);
  return stream;
}

const follow = async (...args: Parameters<typeof open>) => (await open(...args)) as LogStream;
const say = async (stdout: string, stderr = '', more: object = {}) => {
  const client = await AgentClient.open(server, id);
  await client.exec({ cmd: 'say', args: [stdout, stderr], ...more });
  client.socket.terminate();
};

it('sends what commands have written and what they write, with the source and the time of each', async () => {
  await say('before\n', 'error\n');
  const stream = await follow();
  await eventually(() => stream.events.length === 2);
  await say('after\n');
  await eventually(() => stream.events.length === 3);
  expect(stream.events.map(({ event, data }) => [event, data.source, data.text])).toEqual([
    ['log', 'stdout', 'before\n'],
    ['log', 'stderr', 'error\n'],
    ['log', 'stdout', 'after\n'],
  ]);
  for (const { data } of stream.events) expect(Math.abs(Date.parse(String(data.ts)) - Date.now())).toBeLessThan(20_000);
});

it('goes on after an event without a gap and without a repeat', async () => {
  for (const n of [1, 2, 3]) await say(`line ${n}\n`);
  const first = await follow();
  await eventually(() => first.events.length === 3);
  first.close();
  await say('line 4\n');
  const second = await follow('', { 'last-event-id': first.events[1]?.id ?? '' });
  await eventually(() => second.events.length === 2);
  expect(second.texts).toEqual(['line 3\n', 'line 4\n']);
});

it('sends the sources that are asked for, and the system’s only then', async () => {
  await say('out', 'err');
  await say('terminal', '', { tty: true });
  const of = async (query: string, count: number) => {
    const stream = await follow(query);
    await eventually(() => stream.events.length >= count);
    return stream.texts;
  };
  expect(await of('?sources=stderr', 1)).toEqual(['err']);
  expect(await of('?sources=output', 1)).toEqual(['terminal']);
  expect(await of('?sources=system,stdout', 2)).toEqual(['--- sandbox started ---\n', 'out']);
  expect(await of('', 3)).toEqual(['out', 'err', 'terminal']);
  expect(await open('?sources=kernel')).toBe(400);
});

it('ends with an event when the sandbox does, and shows the log of one that has stopped', async () => {
  await say('last words');
  const stream = await follow('?sources=stdout,system');
  await server.call('POST', `/v1/sandboxes/${id}/stop`);
  await eventually(() => stream.ended);
  const whole = ['--- sandbox started ---\n', 'last words', '--- sandbox stopped ---\n'];
  expect(stream.texts).toEqual(whole);
  expect(stream.events.at(-1)?.event).toBe('end');
  const late = await follow('?sources=stdout,system', {}, '/v1/sandboxes/by-name/logged/logs');
  await eventually(() => late.ended);
  expect(late.texts).toEqual(whole);
});

it('keeps the newest 4 MiB, and says that a position before them is gone', async () => {
  await say('the first');
  const stream = await follow();
  await eventually(() => stream.events.length === 1);
  const [first] = stream.events;
  stream.close();
  for (let n = 0; n < 5; n++) await say(String(n).repeat(1024 * 1024 - 128));
  expect(await open('', { 'last-event-id': first?.id ?? '' })).toBe(410);
  const rest = await follow();
  await eventually(() => rest.events.length === 4);
  expect(rest.texts.map((text) => text[0])).toEqual(['1', '2', '3', '4']);
});

it('refuses ids that are not its own', async () => {
  expect(await open('', { 'last-event-id': encodeLogCursor({ generation: 1n, next: 0 }) })).toBe(410);
  expect(await open('', { 'last-event-id': 'nonsense' })).toBe(400);
  const stream = await follow('?sources=system', { 'last-event-id': 'AA==' });
  await eventually(() => stream.events.length === 1);
  const { generation = 0n } = decodeLogCursor(stream.events[0]?.id ?? '') ?? {};
  expect(await open('', { 'last-event-id': encodeLogCursor({ generation, next: 1000 }) })).toBe(410);
});

it('does not hold what the runner and its programs say to the host', async () => {
  await say('a frame with a secret', '', { cmd: RUNNER_COMMAND });
  await say('visible');
  const stream = await follow();
  await eventually(() => stream.events.length > 0);
  expect(stream.texts).toEqual(['visible']);
});

it('a ping is no use of a sandbox, a touch and a command are', async () => {
  await server.call('DELETE', `/v1/sandboxes/${id}`);
  const { body } = await server.call('POST', '/v1/sandboxes?start=true&wait_for=running', {
    body: { name: 'idle', image: { type: 'oci', reference: 'host' }, lifecycle: { idle_timeout_secs: 3 } },
  });
  id = (body as { id: string }).id;
  const client = await AgentClient.open(server, id);
  const busyUntil = performance.now() + 4_500;
  while (performance.now() < busyUntil) await client.request('core.touch', {});
  expect((await server.call('GET', `/v1/sandboxes/${id}`)).body).toMatchObject({ status: 'running' });
  await eventually(async () => {
    if (client.socket.readyState === client.socket.OPEN) client.send(client.newId(), 'core.ping');
    const { status } = (await server.call('GET', `/v1/sandboxes/${id}`)).body as { status: string };
    return status === 'stopped';
  });
});
