import type { Guest, GuestSpec, MountOptions, SandboxDriver } from '../../../src/sandbox/driver.ts';
import { Deadline } from '../../../src/util/deadline.ts';
import { exec, type Shell } from './exec.ts';

export const OPTIONS: MountOptions = { readonly: false, noexec: false, nosuid: true, nodev: true };
export const BOOT_MS = 200_000;

export interface BootedGuest {
  readonly guest: Guest;
  readonly sh: Shell;
}

/** Boots guests of this driver, and connects to their agents. */
export function booter(driver: SandboxDriver): (spec: GuestSpec) => Promise<BootedGuest> {
  return async (spec) => {
    using deadline = new Deadline('Booting', BOOT_MS);
    const guest = await driver.boot(spec, deadline);
    const stream = await guest.connectAgent(deadline);
    return { guest, sh: (script, more) => exec(stream, { cmd: 'sh', args: ['-c', script], ...more }) };
  };
}
