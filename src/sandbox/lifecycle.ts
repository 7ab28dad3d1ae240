import { WorkcellError } from '../core/errors.ts';
import type { SandboxStatus } from '../protocol/rest.ts';

/** Every legal change of state; a sandbox that is deleted leaves the table. */
const TRANSITIONS: { readonly [From in SandboxStatus]: readonly SandboxStatus[] } = {
  created: ['starting'],
  starting: ['running', 'failed', 'stopping'],
  running: ['stopping', 'failed'],
  stopping: ['stopped', 'failed'],
  stopped: ['starting'],
  failed: ['starting'],
};

/** In these a guest exists, is on its way, or may be booted next: they count against the limit of a key. */
const COUNTED: readonly SandboxStatus[] = ['created', 'starting', 'running', 'stopping'];

export function canMove(from: SandboxStatus, to: SandboxStatus): boolean {
  return TRANSITIONS[from].includes(to);
}

export function isCounted(status: SandboxStatus): boolean {
  return COUNTED.includes(status);
}

/** Whether something can still happen by itself, such as a line of output. */
export function isLive(status: SandboxStatus): boolean {
  return isCounted(status) && status !== 'created';
}

/** Throws `invalid_state` when a sandbox in state `from` cannot become `to`. */
export function assertMove(name: string, from: SandboxStatus, to: SandboxStatus): void {
  if (canMove(from, to)) return;
  throw new WorkcellError('invalid_state', `Sandbox "${name}" is ${from} and cannot become ${to}`);
}
