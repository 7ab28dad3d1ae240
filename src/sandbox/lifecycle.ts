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

export function canMove(from: SandboxStatus, to: SandboxStatus): boolean {
  return TRANSITIONS[from].includes(to);
}

/** Throws `invalid_state` when a sandbox in state `from` cannot become `to`. */
export function assertMove(name: string, from: SandboxStatus, to: SandboxStatus): void {
  if (canMove(from, to)) return;
  throw new WorkcellError('invalid_state', `Sandbox "${name}" is ${from} and cannot become ${to}`);
}
