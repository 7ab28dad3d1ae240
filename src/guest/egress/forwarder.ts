import { createServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream';
import { EGRESS_PORT } from '../../protocol/egress.ts';
import { StreamMux } from '../../protocol/stream-mux.ts';

/** Lets programs in the guest reach the host's proxy: what connects to the loopback port becomes a stream on `port`. */
export async function forwardEgress(port: Duplex, loopbackPort: number = EGRESS_PORT): Promise<void> {
  const mux = new StreamMux(port);
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const stream = mux.open();
    const nothing = () => {};
    pipeline(socket, stream, nothing);
    pipeline(stream, socket, nothing);
  });
  port.once('close', () => server.close());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(loopbackPort, '127.0.0.1', () => {
      server.off('error', reject);
      server.unref();
      resolve();
    });
  });
}
