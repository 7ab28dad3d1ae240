import { once } from 'node:events';
import { type Duplex, duplexPair } from 'node:stream';
import { beforeEach, expect, it } from 'vitest';
import { CLIENT_IDS, encodeFrame, FrameDecoder } from '../../../src/protocol/agent-frames.ts';
import { encodeAnyMessage } from '../../../src/protocol/agent-messages.ts';
import { AgentRelay, type RelaySession } from '../../../src/sandbox/relay.ts';

let agent: Duplex;
let relay: AgentRelay;
let ends = 0;
let session: RelaySession;
let activity = 0;
const received: number[] = [];

beforeEach(async () => {
  activity = 0;
  ends = 0;
  received.length = 0;
  const [guest, host] = duplexPair();
  agent = guest;
  relay = new AgentRelay(host, {
    onActivity: () => {
      activity += 1;
    },
    onOutput: () => {},
    onSessionEnd: () => {},
    onEnd: () => {
      ends += 1;
    },
  });
  const frames = new FrameDecoder();
  let greeting = 8;
  const send = (bytes: Uint8Array) => {
    for (const frame of frames.push(bytes.subarray(greeting))) if (frame.id > 0) received.push(frame.id);
    greeting = 0;
  };
  const attached = relay.attach({ send, backlog: 0, close: () => {} });
  session = attached;
  agent.write(encodeFrame(encodeAnyMessage(0, 'core.ready', {})));
  while (greeting > 0) await new Promise(setImmediate);
});

const frameOf = (id: number, type: string, payload: unknown = {}) => encodeFrame(encodeAnyMessage(id, type, payload));
const toAgent = async (id: number, type: string, payload?: unknown) => {
  session.receive(frameOf(id, type, payload));
  if (agent.readableLength === 0) await once(agent, 'readable');
  agent.read();
  return activity;
};
const toClient = async (id: number, type: string, payload?: unknown) => {
  const before = received.length;
  agent.write(frameOf(id, type, payload));
  while (received.length === before) await new Promise(setImmediate);
  return activity;
};

it.each([
  ['core.ping', 'core.pong', 0],
  ['core.touch', 'core.touched', 1],
  ['core.nonsense', 'core.error', 0],
])('%s and its answer %s count as activity %i times', async (question, answer, times) => {
  expect(await toAgent(1, question)).toBe(times);
  expect(await toClient(1, answer)).toBe(times);
});

it('everything in a session counts, up to its end', async () => {
  expect(await toAgent(1, 'core.exec.request', { cmd: 'x' })).toBe(1);
  expect(await toAgent(1, 'core.exec.stdin', { data: Buffer.alloc(1000) })).toBe(2);
  expect(await toClient(1, 'core.exec.stdout', { data: Buffer.alloc(1000) })).toBe(3);
  expect(await toClient(1, 'core.exec.exited', { code: 0 })).toBe(4);
  expect(await toAgent(1, 'core.exec.stdin', { data: Buffer.alloc(1000) })).toBe(4);
});

it('a touch that is larger than a touch can be counts for nothing', async () => {
  expect(await toAgent(CLIENT_IDS - 1, 'core.touch', { padding: 'x'.repeat(100) })).toBe(0);
});

it('the end of a stream that breaks the protocol is told once, and who comes later is turned away', async () => {
  agent.write(Buffer.alloc(16, 0xff));
  while (ends === 0) await new Promise(setImmediate);
  const { promise: reason, resolve } = Promise.withResolvers<string>();
  relay.attach({ send: () => resolve('greeted'), backlog: 0, close: resolve });
  expect(await reason).toBe('The sandbox has ended');
  relay.close('again');
  expect(ends).toBe(1);
});
