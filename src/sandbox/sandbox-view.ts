import type { SandboxResponse } from '../protocol/rest.ts';
import type { Guest, SandboxDriver } from './driver.ts';
import type { SandboxRecord } from './sandbox-store.ts';
import { describeSpec, type SpecReader } from './spec-view.ts';

export interface SandboxState {
  readonly driver: Pick<SandboxDriver, 'name' | 'isolation'>;
  readonly guest: Pick<Guest, 'boot' | 'poolBypass'> | undefined;
  /** Why it is not running yet. */
  readonly reason: SandboxResponse['status_reason'];
  /** Default `document`. */
  readonly reader?: SpecReader;
}

/** What clients are told of a sandbox. */
export function describeSandbox(
  { id, orgId, name, slug, status, request, createdAt, startedAt, stoppedAt, failure }: SandboxRecord,
  { driver, guest, reason, reader = 'document' }: SandboxState,
): SandboxResponse {
  return {
    id,
    org_id: orgId,
    name,
    slug,
    status,
    status_reason: status === 'starting' ? (reason ?? null) : null,
    ephemeral: request.lifecycle.ephemeral,
    created_at: createdAt,
    started_at: startedAt,
    stopped_at: stoppedAt,
    last_failure_message: failure,
    spec: describeSpec(request, reader),
    driver: driver.name,
    isolation: driver.isolation,
    boot: guest?.boot ?? null,
    ...(guest?.poolBypass === undefined ? {} : { pool_bypass: guest.poolBypass }),
  };
}
