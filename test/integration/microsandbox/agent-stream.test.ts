import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CLIENT_IDS, encodeFrame, FLAG, FrameDecoder, type RawFrame } from '../../../src/protocol/agent-frames.ts';
import { decodeMessage, encodeMessage } from '../../../src/protocol/agent-messages.ts';
import { AgentStream } from '../../../src/sandbox/drivers/microsandbox/agent-stream.ts';
import { Deadline } from '../../../src/util/deadline.ts';
import { eventually } from '../../support/processes.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

const READY = encodeMessage(0, 'core.ready', {
  boot_time_ns: 1,
  init_time_ns: 2,
  ready_time_ns: 3,
  agent_version: '0.6.18',
});

/** A relay that gives out ranges as Microsandbox's own does: without the first id of each. */
class Relay {
  readonly clients: { readonly socket: Socket; readonly base: number; readonly frames: RawFrame[] }[] = [];
  readonly #server: Server;

  constructor(path: string, greet = true) {
    this.#server = createServer((socket) => {
      const base = this.clients.length * CLIENT_IDS;
      const client = { socket, base, frames: [] as RawFrame[] };
      this.clients.push(client);
      const decoder = new FrameDecoder();
      socket.on('data', (chunk) => client.frames.push(...decoder.push(chunk)));
      socket.on('error', () => {});
      if (!greet) return;
      const range = Buffer.alloc(8);
      range.writeUInt32BE(base + 1, 0);
      range.writeUInt32BE(base + CLIENT_IDS, 4);
      // In pieces, as a socket may bring them.
      socket.write(range.subarray(0, 3));
      socket.write(Buffer.concat([range.subarray(3), encodeFrame(READY)]));
    }).listen(path);
  }

  async close(): Promise<void> {
    for (const { socket } of this.clients) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

let folder: TempFolder;
let relay: Relay;
let deadline: Deadline;
const received: RawFrame[] = [];

beforeEach(async () => {
  folder = await tempFolder();
  deadline = new Deadline('The test', 120_000);
  received.length = 0;
});

afterEach(async () => {
  deadline[Symbol.dispose]();
  await relay.close();
  await folder[Symbol.asyncDispose]();
});

async function open(): Promise<{ agent: AgentStream; stream: Duplex }> {
  const path = join(folder.path, 'agent.sock');
  relay = new Relay(path);
  const agent = await AgentStream.open(path, deadline);
  const decoder = new FrameDecoder();
  agent.stream.on('data', (chunk: Buffer) => received.push(...decoder.push(chunk)));
  return { agent, stream: agent.stream };
}

const request = (id: number) => encodeFrame(encodeMessage(id, 'core.exec.request', { cmd: 'true' }));
const clientAt = (index: number) => {
  const client = relay.clients[index];
  if (client === undefined) throw new Error(`There is no connection ${index}`);
  return client;
};

describe("the one stream over Microsandbox's relay", () => {
  it('starts with `core.ready`', async () => {
    await open();
    const [first] = await eventually(() => received.length > 0 && received);
    expect(first).toEqual({ id: 0, flags: READY.flags, body: Buffer.from(READY.body) });
  });

  it('gives each client a connection, and its ids their place in the range of that connection', async () => {
    const { agent, stream } = await open();
    stream.write(request(2 * CLIENT_IDS + 5));
    stream.write(request(7));
    await eventually(
      () => relay.clients.length === 3 && relay.clients.every(({ frames }, i) => i === 0 || frames.length),
    );
    const [second, third] = [clientAt(1), clientAt(2)];
    expect(second.frames).toMatchObject([{ id: second.base + 1 + 5, flags: FLAG.sessionStart }]);
    expect(third.frames).toMatchObject([{ id: third.base + 1 + 7 }]);
    third.socket.write(encodeFrame(encodeMessage(third.base + 8, 'core.exec.exited', { code: 0 })));
    second.socket.write(encodeFrame(encodeMessage(second.base + 6, 'core.exec.exited', { code: 1 })));
    await eventually(() => received.length === 3);
    expect(received.map(({ id }) => id).sort((a, b) => a - b)).toEqual([0, 7, 2 * CLIENT_IDS + 5]);
    agent.close();
  });

  it('ends the connection of a client that has gone, and only that', async () => {
    const { agent, stream } = await open();
    stream.write(request(1));
    stream.write(request(CLIENT_IDS + 1));
    await eventually(() => relay.clients.length === 3);
    const range = { id_start: 0, id_end_exclusive: CLIENT_IDS };
    stream.write(encodeFrame(encodeMessage(0, 'core.relay.client.disconnected', range)));
    await eventually(() => clientAt(1).socket.destroyed);
    expect([clientAt(0), clientAt(2)].map(({ socket }) => socket.destroyed)).toEqual([false, false]);
    agent.close();
  });

  it('ends the sessions of a connection that the relay drops', async () => {
    const { agent, stream } = await open();
    stream.write(request(9));
    await eventually(() => relay.clients[1]?.frames.length === 1);
    clientAt(1).socket.destroy();
    await eventually(() => received.length === 2);
    expect(received[1]).toMatchObject({ id: 9, flags: FLAG.terminal });
    expect(decodeMessage(received[1] as RawFrame)).toMatchObject({ type: 'core.error' });
    agent.close();
  });

  it('ends when the guest does', async () => {
    const { stream } = await open();
    const closed = once(stream, 'close');
    clientAt(0).socket.destroy();
    await closed;
    expect(stream.destroyed).toBe(true);
  });

  it('asks the guest to end in the way that the relay lets through', async () => {
    const { agent } = await open();
    agent.shutdown();
    await eventually(() => clientAt(0).frames.length === 1);
    expect(clientAt(0).frames).toMatchObject([{ id: 0, flags: FLAG.shutdown }]);
    agent.close();
  });

  it('does not wait longer than it may', async () => {
    relay = new Relay(join(folder.path, 'mute.sock'), false);
    using short = new Deadline('Connecting', 50);
    await expect(AgentStream.open(join(folder.path, 'mute.sock'), short)).rejects.toMatchObject({
      code: 'deadline_exceeded',
    });
  });
});
