import type { Deadline } from '../../util/deadline.ts';
import type { Guest, NetworkSpec } from '../driver.ts';
import type { SandboxLog } from '../sandbox-log.ts';
import { serveEgress } from './egress-proxy.ts';

/**
 * Lets the guest reach what it may, and writes into its log what it may not. Does nothing where the driver applies the
 * policies itself.
 */
export async function openNetwork(
  guest: Guest,
  { policies }: NetworkSpec,
  log: SandboxLog,
  deadline: Deadline,
): Promise<void> {
  if (guest.connectEgress === undefined) return;
  serveEgress(await guest.connectEgress(deadline), {
    policies,
    onDenied: ({ host, port, reason }) =>
      log.append('system', `--- connection to ${host}:${port} refused: ${reason} ---\n`),
  });
}
