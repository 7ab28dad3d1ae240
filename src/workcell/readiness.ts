import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import type { SandboxDriver } from '../sandbox/driver.ts';
import type { Workcell } from './workcell.ts';

/** Whether new work can be taken, and by part why not: in words that are fit for anybody. */
export interface ReadinessReport {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, 'ok' | string>>;
}

export interface ReadinessOptions {
  readonly driver: Pick<SandboxDriver, 'probe'>;
  /** The folder of the workspaces. */
  readonly folder: string;
  readonly cell: Pick<Workcell, 'isDraining' | 'isSyncing'>;
}

/** Anyone may ask, and as often as they like; the host is looked at so often at most. */
const FRESH_MS = 2_000;
const MIN_FREE_BYTES = 64 * 1024 * 1024;

/** Tells load balancers whether to send work here. */
export class Readiness {
  readonly #options: ReadinessOptions;
  #looked: { readonly at: number; readonly checks: Promise<ReadinessReport['checks']> } | undefined;

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  async report(): Promise<ReadinessReport> {
    const now = performance.now();
    if (this.#looked === undefined || now - this.#looked.at > FRESH_MS)
      this.#looked = { at: now, checks: this.#look() };
    const { isDraining, isSyncing } = this.#options.cell;
    const checks = {
      ...(await this.#looked.checks),
      tools: isSyncing ? 'the tools of new servers are being read' : 'ok',
      accepting: isDraining ? 'the server is shutting down' : 'ok',
    };
    return { ready: Object.values(checks).every((check) => check === 'ok'), checks };
  }

  async #look(): Promise<ReadinessReport['checks']> {
    const [sandboxes, storage] = await Promise.all([this.#sandboxes(), this.#storage()]);
    return { sandboxes, storage };
  }

  async #sandboxes(): Promise<string> {
    const { ready } = await this.#options.driver.probe();
    return ready ? 'ok' : 'sandboxes cannot be started on this host; see `workcell doctor`';
  }

  async #storage(): Promise<string> {
    const { folder } = this.#options;
    try {
      await access(folder, constants.R_OK | constants.W_OK);
      const { bavail, bsize } = await statfs(folder);
      return bavail * bsize >= MIN_FREE_BYTES ? 'ok' : 'the disk of the workspaces is full';
    } catch {
      return 'the workspaces cannot be written to';
    }
  }
}
