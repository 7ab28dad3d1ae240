import type { Duplex } from 'node:stream';
import { encodeFrame, FrameDecoder } from '../../../src/protocol/agent-frames.ts';
import { decodeMessage, type ExecRequest, encodeMessage } from '../../../src/protocol/agent-messages.ts';

/** What a command said and how it ended. */
export interface ExecOutcome {
  readonly stdout: string;
  readonly code: number;
}

/** Runs a line of shell in a guest. */
export type Shell = (script: string, more?: Pick<ExecRequest, 'user' | 'cwd'>) => Promise<ExecOutcome>;

let lastId = 0;

/** Runs one command over a stream of the agent protocol that nobody else uses meanwhile. */
export async function exec(stream: Duplex, request: ExecRequest): Promise<ExecOutcome> {
  const id = ++lastId;
  const done = Promise.withResolvers<ExecOutcome>();
  const frames = new FrameDecoder();
  let stdout = '';
  const onData = (chunk: Buffer) => {
    for (const frame of frames.push(chunk)) {
      const message = decodeMessage(frame);
      if (message?.id !== id) continue;
      const payload = message.payload as { data?: Uint8Array; code?: number };
      if (message.type === 'core.exec.stdout') stdout += Buffer.from(payload.data ?? []).toString();
      if (message.type === 'core.exec.exited') done.resolve({ stdout, code: payload.code ?? -1 });
      if (message.type === 'core.exec.failed' || message.type === 'core.error')
        done.reject(new Error(JSON.stringify(message.payload)));
    }
  };
  const onClose = () => done.reject(new Error('The agent hung up'));
  stream.on('data', onData);
  stream.on('close', onClose);
  try {
    stream.write(encodeFrame(encodeMessage(id, 'core.exec.request', request)));
    return await done.promise;
  } finally {
    stream.off('data', onData);
    stream.off('close', onClose);
  }
}
