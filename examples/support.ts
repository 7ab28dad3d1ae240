import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Customer, createWorkcell, type ExecutionResult, type SandboxInfo, type Workcell } from '../src/index.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The folder that the filesystem server of the shipped `config.yaml` may touch. */
export const SHARED: string = join(ROOT, 'workspaces/.shared');

/** Everything together, as the shipped `config.yaml` says. What takes longer than a moment is told on stderr. */
export function openCell(): Promise<Workcell> {
  return createWorkcell({
    config: join(ROOT, 'config.yaml'),
    onProgress: (text) => console.error(`… ${text}`),
  });
}

/** A customer without anything of an earlier run. To be called before anything else touches the customer. */
export async function freshCustomer(cell: Workcell, id: string): Promise<Customer> {
  await rm(join(cell.loaded.config.paths.workspaces, id), { recursive: true, force: true });
  return cell.customer(id);
}

/** The microVM that the program ran in; throws unless the program completed there. */
export function microvmOf(result: ExecutionResult): SandboxInfo {
  assert.equal(result.status, 'completed', result.error?.stack ?? result.stderr);
  const { sandbox } = result;
  assert.ok(sandbox !== null, 'the program ran nowhere');
  assert.notEqual(sandbox.isolation, 'process', 'the program ran in no machine of its own');
  return sandbox;
}
