import type { Duplex } from 'node:stream';
import { WorkcellError } from '../../core/errors.ts';
import { encodeFrame, FrameDecoder } from '../../protocol/agent-frames.ts';
import { type AgentMessage, decodeMessage, encodeAnyMessage } from '../../protocol/agent-messages.ts';
import { GUEST_MESSAGE, type GuestFailure } from '../../protocol/guest-bootstrap.ts';
import type { Deadline } from '../../util/deadline.ts';

/**
 * Asks our agent for something before it is anybody's, and waits for the answer of this type. Throws `sandbox_boot_failed`
 * with what the agent says about it.
 */
export async function askAgent(
  agent: Duplex,
  type: string,
  payload: unknown,
  answerType: string,
  deadline: Deadline,
): Promise<AgentMessage> {
  agent.write(encodeFrame(encodeAnyMessage(0, type, payload)));
  const answer = await nextMessage(agent, [answerType, GUEST_MESSAGE.failed], deadline);
  if (answer.type !== GUEST_MESSAGE.failed) return answer;
  const { message } = answer.payload as GuestFailure;
  throw new WorkcellError('sandbox_boot_failed', `The guest cannot be set up: ${message}`);
}

/** Like {@link askAgent} for `core.ready`; afterwards the stream starts with that message, as clients of the agent expect. */
export async function askForReady(agent: Duplex, type: string, payload: unknown, deadline: Deadline): Promise<void> {
  const ready = await askAgent(agent, type, payload, 'core.ready', deadline);
  agent.unshift(encodeFrame(encodeAnyMessage(0, 'core.ready', ready.payload)));
}

/** The next message of one of these types. */
export function nextMessage(agent: Duplex, types: readonly string[], deadline: Deadline): Promise<AgentMessage> {
  const frames = new FrameDecoder();
  return readUntil(agent, deadline, (chunk) => {
    for (const frame of frames.push(chunk)) {
      const message = decodeMessage(frame);
      if (message !== undefined && types.includes(message.type)) return message;
    }
    return undefined;
  });
}

/** What `find` makes of the bytes, as soon as it makes something of them; it sees each once. Leaves the stream paused. */
export async function readUntil<T>(
  agent: Duplex,
  deadline: Deadline,
  find: (chunk: Buffer) => T | undefined,
): Promise<T> {
  const found = Promise.withResolvers<T>();
  const onData = (chunk: Buffer) => {
    try {
      const value = find(chunk);
      if (value === undefined) return;
      // Nothing that comes after it is for us.
      agent.off('data', onData);
      agent.pause();
      found.resolve(value);
    } catch (error) {
      found.reject(error as Error);
    }
  };
  const onClose = () =>
    found.reject(new WorkcellError('sandbox_boot_failed', 'The guest ended while it was being set up'));
  agent.on('data', onData);
  agent.on('close', onClose);
  agent.resume();
  try {
    return await deadline.race(found.promise);
  } finally {
    agent.off('data', onData);
    agent.off('close', onClose);
    agent.pause();
    found.promise.catch(() => {});
  }
}
