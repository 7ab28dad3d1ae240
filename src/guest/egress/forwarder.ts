import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';

/** Forwards connections of the guest over the port; resolves when the port has closed. */
export async function forwardEgress(port: Duplex): Promise<void> {
  port.resume();
  await finished(port);
}
