import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { encodeFrame } from '../../../protocol/agent-frames.ts';
import { encodeAnyMessage } from '../../../protocol/agent-messages.ts';
import {
  GUEST_MESSAGE,
  type GuestAdopt,
  type GuestClaim,
  type GuestPrime,
  type GuestRefresh,
} from '../../../protocol/guest-bootstrap.ts';
import type { Deadline } from '../../../util/deadline.ts';
import { askAgent, askForReady, nextMessage, readUntil } from '../../driver-kit/agent-setup.ts';

const NONCE_BYTES = 32;

/** Waits until the agent says that it is there and nobody's. */
export async function awaitWaiting(socket: Socket, deadline: Deadline): Promise<void> {
  await nextMessage(socket, [GUEST_MESSAGE.waiting], deadline);
}

/** Makes the guest ready for some customer. */
export async function prime(socket: Socket, request: Unrefreshed<GuestPrime>, deadline: Deadline): Promise<void> {
  await askAgent(socket, GUEST_MESSAGE.prime, { ...request, ...refresh() }, GUEST_MESSAGE.primed, deadline);
}

/** Gives the guest to its customer; afterwards the socket starts with `core.ready`, as clients of the agent expect. */
export async function claim(socket: Socket, request: Unrefreshed<GuestClaim>, deadline: Deadline): Promise<void> {
  await askForReady(socket, GUEST_MESSAGE.claim, { ...request, ...refresh() }, deadline);
}

/**
 * Takes the agent over from a host that is gone; afterwards the socket starts with `core.ready`. What was on its way to the
 * old host ends anywhere, so that only the nonce tells where the first frame for us begins.
 */
export async function adopt(socket: Socket, deadline: Deadline): Promise<void> {
  const request: GuestAdopt = { nonce: randomBytes(NONCE_BYTES) };
  socket.write(encodeFrame(encodeAnyMessage(0, GUEST_MESSAGE.adopt, request)));
  let tail = Buffer.alloc(0);
  const rest = await readUntil(socket, deadline, (chunk) => {
    tail = Buffer.concat([tail, chunk]);
    const at = tail.indexOf(request.nonce);
    if (at >= 0) return tail.subarray(at + NONCE_BYTES);
    tail = tail.subarray(-NONCE_BYTES);
    return undefined;
  });
  if (rest.byteLength > 0) socket.unshift(rest);
}

type Unrefreshed<Request extends GuestRefresh> = Omit<Request, keyof GuestRefresh>;

function refresh(): GuestRefresh {
  return { time: Date.now() / 1000, seed: randomBytes(64) };
}
