import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { WorkcellError } from '../../../core/errors.ts';
import { encodeFrame, FrameDecoder } from '../../../protocol/agent-frames.ts';
import { type AgentMessage, decodeMessage, encodeAnyMessage } from '../../../protocol/agent-messages.ts';
import { GUEST_MESSAGE, type GuestClaim, type GuestFailure } from '../../../protocol/guest-bootstrap.ts';
import type { Deadline } from '../../../util/deadline.ts';

/** Waits until the agent says that it is there and nobody's. */
export async function awaitWaiting(socket: Socket, deadline: Deadline): Promise<void> {
  await nextMessage(socket, [GUEST_MESSAGE.waiting], deadline);
}

/** Gives the guest to its customer; afterwards the socket starts with `core.ready`, as clients of the agent expect. */
export async function claim(
  socket: Socket,
  request: Omit<GuestClaim, 'time' | 'seed'>,
  deadline: Deadline,
): Promise<void> {
  const payload: GuestClaim = { ...request, time: Date.now() / 1000, seed: randomBytes(64) };
  socket.write(encodeFrame(encodeAnyMessage(0, GUEST_MESSAGE.claim, payload)));
  const answer = await nextMessage(socket, ['core.ready', GUEST_MESSAGE.failed], deadline);
  if (answer.type === GUEST_MESSAGE.failed) {
    const { message } = answer.payload as GuestFailure;
    throw new WorkcellError('sandbox_boot_failed', `The guest cannot be set up: ${message}`);
  }
  socket.unshift(encodeFrame(encodeAnyMessage(0, 'core.ready', answer.payload)));
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
