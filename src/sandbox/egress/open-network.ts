import type { Duplex } from 'node:stream';
import { Deadline } from '../../util/deadline.ts';
import type { Guest, NetworkSpec } from '../driver.ts';
import type { SandboxLog } from '../sandbox-log.ts';
import { type EgressOptions, serveEgress } from './egress-proxy.ts';

/** Who writes to the port of the network without being its agent is root in the guest, and harms that guest alone. */
const MAX_REOPENED = 5;
const REOPEN_AFTER_MS = 1_000;
const REOPEN_TIMEOUT_MS = 10_000;

/**
 * Lets the guest reach what it may, and writes into its log what it may not. Does nothing where the driver applies the
 * policies itself.
 *
 * A guest that breaks the protocol of its network loses its connections, and gets new ones, a few times.
 */
export async function openNetwork(
  guest: Guest,
  { policies }: NetworkSpec,
  log: SandboxLog,
  deadline: Deadline,
): Promise<void> {
  if (guest.connectEgress === undefined) return;
  const say = (text: string) => log.append('system', `--- ${text} ---\n`);
  const options: EgressOptions = {
    policies,
    onDenied: ({ host, port, reason }) => say(`connection to ${host}:${port} refused: ${reason}`),
  };
  const stream = await guest.connectEgress(deadline);
  serveEgress(stream, options);
  void keepOpen(guest, stream, options, say);
}

async function keepOpen(
  guest: Guest,
  first: Duplex,
  options: EgressOptions,
  say: (text: string) => void,
): Promise<void> {
  let stream: Duplex | undefined = first;
  for (let reopened = 0; stream !== undefined; reopened++) {
    if (await endsBefore(guest, closed(stream))) return;
    if (reopened === MAX_REOPENED) break;
    say('the network of the sandbox broke, and all its connections with it');
    if (await endsBefore(guest, delay(REOPEN_AFTER_MS))) return;
    using deadline = new Deadline('Opening the network of a sandbox again', REOPEN_TIMEOUT_MS);
    stream = await guest.connectEgress?.(deadline).catch(() => undefined);
    if (stream === undefined || stream.destroyed) break;
    serveEgress(stream, options);
  }
  say('the network of the sandbox is gone for good: what came from it was not its protocol');
}

function closed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed) resolve();
    else stream.once('close', resolve);
  });
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

/** Whether the guest ended first. Its streams close a moment before that is known. */
async function endsBefore({ exited }: Guest, event: Promise<void>): Promise<boolean> {
  return Promise.race([exited.then(() => true), event.then(() => false)]);
}
