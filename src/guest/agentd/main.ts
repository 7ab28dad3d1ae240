/**
 * The agent of a guest: speaks the Microsandbox agent protocol over a virtio-serial port. Started by the initramfs, in
 * the root that the guest keeps; a template is saved while it waits for its first message.
 */
import { encodeFrame, FrameDecoder, type RawFrame } from '../../protocol/agent-frames.ts';
import { decodeMessage, encodeAnyMessage, encodeMessage } from '../../protocol/agent-messages.ts';
import {
  AGENT_PORT,
  EGRESS_PORT,
  GUEST_MESSAGE,
  type GuestAdopt,
  type GuestClaim,
  type GuestPrime,
  ORPHAN_LIMIT_MS,
} from '../../protocol/guest-bootstrap.ts';
import { forwardEgress } from '../egress/forwarder.ts';
import { Agent } from './agent.ts';
import type { AgentLink, AgentOptions } from './agent-options.ts';
import { claimGuest, primeGuest, startWaiting } from './claim.ts';
import { messageOfError, uptimeNs } from './errno.ts';
import { rehearse, warmUp } from './rehearse.ts';
import { openPort, VirtioPort } from './virtio-port.ts';

const startedAt = uptimeNs();
const ALL_IDS = [1, 2 ** 32] as const;
/** Before a claim there is nobody who would come back. */
const UNCLAIMED_LIMIT_MS = 30_000;
const REOPEN_MS = 100;
const port = new VirtioPort(openPort(AGENT_PORT));
const waiting = startWaiting();
let frames = new FrameDecoder();
/** What every agent of this guest is made with, once it is claimed. */
let options: Omit<AgentOptions, 'link'> | undefined;
let agent: Agent | undefined;
let orphanTimer: NodeJS.Timeout | undefined;

port.on('data', (chunk: Buffer) => {
  clearTimeout(orphanTimer);
  for (const frame of frames.push(chunk)) {
    if (agent !== undefined && frame.id !== 0) agent.receive(frame);
    else void receiveFromDriver(frame).catch(fail);
  }
});
port.on('error', () => process.exit(1));
port.on('orphaned', () => {
  // The half of a message that the old host has sent is followed by another one's whole messages.
  frames = new FrameDecoder();
  leaveClients();
  clearTimeout(orphanTimer);
  orphanTimer = setTimeout(() => process.exit(0), options === undefined ? UNCLAIMED_LIMIT_MS : ORPHAN_LIMIT_MS);
});
await warmUp(waiting.setUp);
send(encodeAnyMessage(0, GUEST_MESSAGE.waiting, {}));

function send(frame: RawFrame): boolean {
  return port.write(encodeFrame(frame));
}

async function receiveFromDriver(frame: RawFrame): Promise<void> {
  const message = decodeMessage(frame);
  if (message === undefined) return;
  if (message.type === GUEST_MESSAGE.prime) await prime(message.payload as GuestPrime);
  else if (message.type === GUEST_MESSAGE.claim && options === undefined) await claim(message.payload as GuestClaim);
  else if (message.type === GUEST_MESSAGE.adopt && options !== undefined) adopt(message.payload as GuestAdopt);
  else agent?.receive(frame);
}

async function prime(request: GuestPrime): Promise<void> {
  await primeGuest(request, waiting);
  if (request.rehearse) await rehearse(waiting.supervisor);
  send(encodeAnyMessage(0, GUEST_MESSAGE.primed, {}));
}

async function claim(request: GuestClaim): Promise<void> {
  const claimedAt = uptimeNs();
  options = await claimGuest(request, waiting);
  if (request.egress) await openEgress();
  serve(uptimeNs() - claimedAt);
}

/** The connections of a host end with it; the next one starts anew. */
async function openEgress(): Promise<void> {
  const egress = new VirtioPort(openPort(EGRESS_PORT));
  egress.once('orphaned', () => egress.destroy());
  try {
    await forwardEgress(egress);
  } catch (error) {
    egress.destroy();
    throw error;
  }
  egress.once('close', reopenEgress);
}

/** The port is busy until what was written to the old host has been taken or dropped. */
function reopenEgress(): void {
  setTimeout(() => void openEgress().catch(reopenEgress), REOPEN_MS);
}

/** A new host has no business with the clients of the one before. */
function adopt({ nonce }: GuestAdopt): void {
  leaveClients();
  port.write(nonce);
  serve(0);
}

function serve(initNs: number): void {
  if (options === undefined) return;
  agent = new Agent({ ...options, link: newLink() });
  const ready = uptimeNs();
  send(
    encodeMessage(0, 'core.ready', {
      boot_time_ns: startedAt,
      init_time_ns: initNs,
      ready_time_ns: ready,
      agent_version: 'workcell',
    }),
  );
}

/** Only the newest link leads anywhere: the ends of an old host's commands are not for its successor. */
let current: AgentLink | undefined;
function newLink(): AgentLink {
  const link: AgentLink = {
    send: (frame) => link !== current || send(frame),
    onDrain: (listener) => {
      if (link === current) port.once('drain', listener);
      else setImmediate(listener);
    },
    pause: () => void port.pause(),
    resume: () => void port.resume(),
  };
  current = link;
  return link;
}

function leaveClients(): void {
  current = undefined;
  const [id_start, id_end_exclusive] = ALL_IDS;
  agent?.receive(encodeAnyMessage(0, 'core.relay.client.disconnected', { id_start, id_end_exclusive }));
  agent = undefined;
}

function fail(error: unknown): void {
  send(encodeAnyMessage(0, GUEST_MESSAGE.failed, { message: messageOfError(error) }));
}
