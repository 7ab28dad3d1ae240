import { Duplex, PassThrough } from 'node:stream';
import { encodeFrame } from '../../src/protocol/agent-frames.ts';
import { encodeMessage } from '../../src/protocol/agent-messages.ts';
import type { Guest, GuestExit, SandboxDriver } from '../../src/sandbox/driver.ts';

/** A driver for tests of the server alone: its guests are a stream that says `core.ready` and listens. */
export function quietDriver(): SandboxDriver {
  return {
    name: 'quiet',
    isolation: 'process',
    capabilities: {
      images: ['host'],
      network: 'none',
      mounts: ['directory', 'tmpfs'],
      quotas: false,
      secrets: false,
      adopts: false,
    },
    probe: async () => ({ ready: true, isolation: 'process', problems: [], facts: {} }),
    prepare: async () => {},
    boot: async () => quietGuest(),
    adopt: async () => undefined,
    [Symbol.asyncDispose]: async () => {},
  };
}

function quietGuest(): Guest {
  const exited = Promise.withResolvers<GuestExit>();
  const stop = async () => {
    exited.resolve({ unexpected: false, reason: 'stopped' });
    return { forced: false };
  };
  return {
    boot: 'cold',
    exited: exited.promise,
    connectAgent: async () => {
      const said = new PassThrough();
      const ready = { boot_time_ns: 0, init_time_ns: 0, ready_time_ns: 0, agent_version: 'quiet' };
      said.write(encodeFrame(encodeMessage(0, 'core.ready', ready)));
      const heard = new PassThrough();
      heard.resume();
      return Duplex.from({ readable: said, writable: heard });
    },
    stop,
    metrics: async () => ({ residentBytes: 0, cpuMs: 0, overheadBytes: 0 }),
    [Symbol.asyncDispose]: async () => void (await stop()),
  };
}
