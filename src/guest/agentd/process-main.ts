/**
 * The agent of a guest that is made of namespaces: speaks the Microsandbox agent protocol over a socket that it inherits.
 *
 * Everything around it is in place before it starts, so there is nothing to claim and nothing to mount. It ends with the
 * socket, and the guest with it.
 */
import { Socket } from 'node:net';
import { encodeFrame, FrameDecoder, type RawFrame } from '../../protocol/agent-frames.ts';
import { decodeMessage, encodeAnyMessage, encodeMessage } from '../../protocol/agent-messages.ts';
import { GUEST_MESSAGE, RUNTIME_DIRECTORY } from '../../protocol/guest-bootstrap.ts';
import { PROCESS_GUEST, type ProcessGuestSetup } from '../../protocol/process-guest.ts';
import { forwardEgress } from '../egress/forwarder.ts';
import { programProcessOptions } from '../runner/options.ts';
import { Supervisor } from '../runner/supervisor.ts';
import { Agent } from './agent.ts';
import { messageOfError, uptimeNs } from './errno.ts';

const startedAt = uptimeNs();
const socket = new Socket({ fd: PROCESS_GUEST.agentDescriptor });
socket.on('error', () => process.exit(1));
socket.on('close', () => process.exit(0));

const link = {
  send: (frame: RawFrame) => socket.write(encodeFrame(frame)),
  onDrain: (listener: () => void) => socket.once('drain', listener),
  pause: () => void socket.pause(),
  resume: () => void socket.resume(),
};
let agent: Agent | undefined;

const frames = new FrameDecoder();
socket.on('data', (chunk) => {
  for (const frame of frames.push(chunk)) {
    if (agent !== undefined) agent.receive(frame);
    else void setUp(frame);
  }
});

async function setUp(frame: RawFrame): Promise<void> {
  const message = decodeMessage(frame);
  if (message?.type !== PROCESS_GUEST.setup) return;
  try {
    const { memoryBytes, egress, ...options } = message.payload as ProcessGuestSetup;
    if (egress) await forwardEgress(new Socket({ fd: PROCESS_GUEST.egressDescriptor }));
    const supervisor = new Supervisor(programProcessOptions(RUNTIME_DIRECTORY, memoryBytes));
    supervisor.open(options.env);
    agent = new Agent({ link, supervisor, ...options });
    const ready = uptimeNs();
    link.send(
      encodeMessage(0, 'core.ready', {
        boot_time_ns: startedAt,
        init_time_ns: ready - startedAt,
        ready_time_ns: ready,
        agent_version: 'workcell',
      }),
    );
  } catch (error) {
    link.send(encodeAnyMessage(0, GUEST_MESSAGE.failed, { message: messageOfError(error) }));
  }
}
