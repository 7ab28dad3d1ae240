import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { WorkcellError } from '../../../core/errors.ts';
import { encodeFrame, FrameDecoder } from '../../../protocol/agent-frames.ts';
import { type AgentMessage, decodeMessage, encodeAnyMessage } from '../../../protocol/agent-messages.ts';
import {
  GUEST_MESSAGE,
  type GuestAdopt,
  type GuestClaim,
  type GuestFailure,
  type GuestPrime,
  type GuestRefresh,
} from '../../../protocol/guest-bootstrap.ts';
import type { Deadline } from '../../../util/deadline.ts';

const NONCE_BYTES = 32;

/** Waits until the agent says that it is there and nobody's. */
export async function awaitWaiting(socket: Socket, deadline: Deadline): Promise<void> {
  await nextMessage(socket, [GUEST_MESSAGE.waiting], deadline);
}

/** Makes the guest ready for some customer. */
export async function prime(socket: Socket, request: Unrefreshed<GuestPrime>, deadline: Deadline): Promise<void> {
  await ask(socket, GUEST_MESSAGE.prime, { ...request, ...refresh() }, GUEST_MESSAGE.primed, deadline);
}

/** Gives the guest to its customer; afterwards the socket starts with `core.ready`, as clients of the agent expect. */
export async function claim(socket: Socket, request: Unrefreshed<GuestClaim>, deadline: Deadline): Promise<void> {
  const ready = await ask(socket, GUEST_MESSAGE.claim, { ...request, ...refresh() }, 'core.ready', deadline);
  socket.unshift(encodeFrame(encodeAnyMessage(0, 'core.ready', ready.payload)));
}

/**
 * Takes the agent over from a host that is gone; afterwards the socket starts with `core.ready`. What was on its way to the
 * old host ends anywhere, so that only the nonce tells where the first frame for us begins.
 */
export async function adopt(socket: Socket, deadline: Deadline): Promise<void> {
  const nonce = randomBytes(NONCE_BYTES);
  const found = Promise.withResolvers<Buffer>();
  let tail = Buffer.alloc(0);
  const onData = (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]);
    const at = tail.indexOf(nonce);
    if (at < 0) tail = tail.subarray(-NONCE_BYTES);
    else {
      socket.pause();
      found.resolve(tail.subarray(at + NONCE_BYTES));
    }
  };
  const onClose = () => found.reject(new WorkcellError('sandbox_lost', 'The virtual machine ended'));
  socket.on('data', onData);
  socket.on('close', onClose);
  try {
    const request: GuestAdopt = { nonce };
    socket.write(encodeFrame(encodeAnyMessage(0, GUEST_MESSAGE.adopt, request)));
    const rest = await deadline.race(found.promise);
    if (rest.byteLength > 0) socket.unshift(rest);
  } finally {
    socket.off('data', onData);
    socket.off('close', onClose);
    socket.pause();
    found.promise.catch(() => {});
  }
}

type Unrefreshed<Request extends GuestRefresh> = Omit<Request, keyof GuestRefresh>;

function refresh(): GuestRefresh {
  return { time: Date.now() / 1000, seed: randomBytes(64) };
}

async function ask(
  socket: Socket,
  type: string,
  payload: unknown,
  answerType: string,
  deadline: Deadline,
): Promise<AgentMessage> {
  socket.write(encodeFrame(encodeAnyMessage(0, type, payload)));
  const answer = await nextMessage(socket, [answerType, GUEST_MESSAGE.failed], deadline);
  if (answer.type !== GUEST_MESSAGE.failed) return answer;
  const { message } = answer.payload as GuestFailure;
  throw new WorkcellError('sandbox_boot_failed', `The guest cannot be set up: ${message}`);
}

/** The next message of one of these types; leaves the socket paused. */
async function nextMessage(socket: Socket, types: readonly string[], deadline: Deadline): Promise<AgentMessage> {
  const found = Promise.withResolvers<AgentMessage>();
  const frames = new FrameDecoder();
  const onData = (chunk: Buffer) => {
    try {
      for (const frame of frames.push(chunk)) {
        const message = decodeMessage(frame);
        if (message !== undefined && types.includes(message.type)) found.resolve(message);
      }
    } catch (error) {
      found.reject(error as Error);
    }
  };
  const onClose = () =>
    found.reject(new WorkcellError('sandbox_boot_failed', 'The virtual machine ended while it was starting'));
  socket.on('data', onData);
  socket.on('close', onClose);
  socket.resume();
  try {
    return await deadline.race(found.promise);
  } finally {
    socket.off('data', onData);
    socket.off('close', onClose);
    socket.pause();
    found.promise.catch(() => {});
  }
}
