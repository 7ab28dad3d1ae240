import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { type Deadline, poll } from '../../../util/deadline.ts';

/** Connects as soon as somebody listens at `path`. */
export function connectUnix(path: string, deadline: Deadline): Promise<Socket> {
  return poll(deadline, async () => {
    const socket = connect(path);
    // Whoever gives up meanwhile never gets it, and nobody else would hear of its end.
    socket.on('error', () => {});
    try {
      await once(socket, 'connect');
      if (deadline.signal.aborted) socket.destroy();
      return socket;
    } catch {
      socket.destroy();
      return undefined;
    }
  });
}

/** Writes what the one peer that connects to `path` sends, while `then` runs, to a file. */
export async function receiveFile(
  path: string,
  file: string,
  deadline: Deadline,
  then: () => Promise<void>,
): Promise<void> {
  const server = createServer();
  server.listen(path);
  try {
    await deadline.race(once(server, 'listening'));
    const connected = once(server, 'connection') as Promise<[Socket]>;
    const received = connected.then(([socket]) => pipeline(socket, createWriteStream(file)));
    received.catch(() => {});
    await then();
    await deadline.race(received);
  } finally {
    server.close();
  }
}

/** Sends a file to whoever listens at `path`, who may hang up as soon as it has what it needs. */
export async function sendFile(file: string, path: string, deadline: Deadline): Promise<void> {
  const socket = await connectUnix(path, deadline);
  try {
    await deadline.race(pipeline(createReadStream(file), socket));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}
