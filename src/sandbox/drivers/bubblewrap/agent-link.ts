import type { Duplex } from 'node:stream';
import { WorkcellError } from '../../../core/errors.ts';
import { encodeFrame, FrameDecoder, type RawFrame } from '../../../protocol/agent-frames.ts';
import { decodeMessage, encodeAnyMessage } from '../../../protocol/agent-messages.ts';
import { GUEST_MESSAGE, type GuestFailure } from '../../../protocol/guest-bootstrap.ts';
import { PROCESS_GUEST, type ProcessGuestSetup } from '../../../protocol/process-guest.ts';
import type { Deadline } from '../../../util/deadline.ts';

/** Tells the agent whose it is; afterwards the stream starts with `core.ready`, as clients of the agent expect. */
export async function setUpAgent(agent: Duplex, setup: ProcessGuestSetup, deadline: Deadline): Promise<void> {
  agent.write(encodeFrame(encodeAnyMessage(0, PROCESS_GUEST.setup, setup)));
  const frame = await deadline.race(firstFrame(agent));
  const message = decodeMessage(frame);
  if (message?.type === GUEST_MESSAGE.failed) {
    const { message: reason } = message.payload as GuestFailure;
    throw new WorkcellError('sandbox_boot_failed', `The guest cannot be set up: ${reason}`);
  }
  if (message?.type !== 'core.ready' || frame.id !== 0)
    throw new WorkcellError('sandbox_boot_failed', 'The guest begins with something other than core.ready');
  agent.unshift(encodeFrame(frame));
}

/** Leaves the stream paused. The agent says nothing more before it is spoken to. */
function firstFrame(agent: Duplex): Promise<RawFrame> {
  const { promise, resolve, reject } = Promise.withResolvers<RawFrame>();
  const frames = new FrameDecoder();
  const onData = (chunk: Buffer) => {
    try {
      for (const frame of frames.push(chunk)) resolve(frame);
    } catch (error) {
      reject(error);
    }
  };
  const onClose = () => reject(new WorkcellError('sandbox_boot_failed', 'The guest ended while it was starting'));
  agent.on('data', onData);
  agent.once('close', onClose);
  const stopReading = () => {
    agent.off('data', onData);
    agent.off('close', onClose);
    agent.pause();
  };
  promise.then(stopReading, stopReading);
  return promise;
}
