/**
 * The agent of a guest: speaks the Microsandbox agent protocol over the virtio-serial port. Started by the initramfs, in
 * the root that the guest keeps; a template is saved while it waits to be claimed.
 */
import { createReadStream, createWriteStream, openSync, readdirSync } from 'node:fs';
import { encodeFrame, FrameDecoder, type RawFrame } from '../../protocol/agent-frames.ts';
import { decodeMessage, encodeAnyMessage, encodeMessage } from '../../protocol/agent-messages.ts';
import { GUEST_MESSAGE, type GuestClaim } from '../../protocol/guest-bootstrap.ts';
import type { Agent } from './agent.ts';
import { claimGuest, startWaiting } from './claim.ts';
import { messageOfError, uptimeNs } from './errno.ts';

const startedAt = uptimeNs();
const port = readdirSync('/dev').find((name) => name.startsWith('vport'));
if (port === undefined) throw new Error('This guest has no virtio-serial port');
const fd = openSync(`/dev/${port}`, 'r+');
const output = createWriteStream('', { fd, autoClose: false });
const input = createReadStream('', { fd, autoClose: false, highWaterMark: 256 * 1024 });
output.on('error', () => process.exit(1));

const link = {
  send: (frame: RawFrame) => output.write(encodeFrame(frame)),
  onDrain: (listener: () => void) => output.once('drain', listener),
};
let agent: Agent | undefined;
const waiting = startWaiting();

const frames = new FrameDecoder();
input.on('data', (chunk) => {
  for (const frame of frames.push(chunk as Buffer)) {
    if (agent !== undefined && frame.id !== 0) agent.receive(frame);
    else receiveFromDriver(frame);
  }
});
input.on('end', () => process.exit(0));
link.send(encodeAnyMessage(0, GUEST_MESSAGE.waiting, {}));

function receiveFromDriver(frame: RawFrame): void {
  const message = decodeMessage(frame);
  if (message?.type === GUEST_MESSAGE.claim && agent === undefined) void claim(message.payload as GuestClaim);
  else if (message !== undefined && agent !== undefined) agent.receive(frame);
}

async function claim(request: GuestClaim): Promise<void> {
  const claimedAt = uptimeNs();
  try {
    agent = await claimGuest(request, waiting, link);
    const ready = uptimeNs();
    link.send(
      encodeMessage(0, 'core.ready', {
        boot_time_ns: startedAt,
        init_time_ns: ready - claimedAt,
        ready_time_ns: ready,
        agent_version: 'workcell',
      }),
    );
  } catch (error) {
    link.send(encodeAnyMessage(0, GUEST_MESSAGE.failed, { message: messageOfError(error) }));
  }
}
