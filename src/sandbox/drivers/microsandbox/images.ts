import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { WorkcellError } from '../../../core/errors.ts';
import type { Deadline } from '../../../util/deadline.ts';
import { publishFolder } from '../../../util/publish-folder.ts';
import { hostImage } from '../../driver-kit/host-image.ts';
import { quote } from '../../driver-kit/mount-options.ts';
import type { MicrosandboxInstall } from './install.ts';
import { jailCommand } from './jail.ts';

const run = promisify(execFile);
const PULL_TIMEOUT_MS = 10 * 60_000;

/**
 * An OCI image as a home of `msb` that holds it and nothing else: `db/` and `cache/`. It is never written to again. It was
 * made in a jail, as the guests see it in theirs: there are paths in it.
 */
export interface StoredImage {
  readonly home: string;
}

/** Downloads OCI images, each once. */
export class ImageStore {
  readonly #folder: string;
  readonly #install: MicrosandboxInstall;
  readonly #pulls = new Map<string, Promise<StoredImage>>();

  constructor(folder: string, install: MicrosandboxInstall) {
    this.#folder = folder;
    this.#install = install;
  }

  /** Throws `sandbox_boot_failed` when no registry gives the image. */
  async obtain(reference: string, deadline: Deadline): Promise<StoredImage> {
    const home = join(this.#folder, createHash('sha256').update(reference).digest('hex').slice(0, 16));
    if ((await stat(home).catch(() => undefined)) !== undefined) return { home };
    const pull = this.#pulls.get(home) ?? this.#pull(reference, home);
    this.#pulls.set(home, pull);
    return deadline.race(pull.finally(() => this.#pulls.delete(home)));
  }

  /** Goes on when whoever asked first gives up: others may wait for it. */
  async #pull(reference: string, home: string): Promise<StoredImage> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await publishFolder(home, async (staging) => {
      const folders = { root: join(staging, 'root'), home: join(staging, 'home') };
      for (const folder of Object.values(folders)) await mkdir(folder);
      const install = this.#install;
      const commands = [`exec /runtime/${install.msb} pull --quiet -- ${quote(reference)}`];
      const programs = await hostImage();
      const command = jailCommand({ install, programs, ...folders, network: true, contents: [], commands });
      try {
        await run('setpriv', ['--pdeathsig', 'KILL', ...command], { timeout: PULL_TIMEOUT_MS });
      } catch (error) {
        const { stderr = '' } = error as { stderr?: string };
        const reason = stderr.replaceAll(staging, '').trim().split('\n').at(-1) || 'msb ended at once';
        throw new WorkcellError('sandbox_boot_failed', `Cannot pull the image "${reference}": ${reason}`, {
          cause: error,
        });
      }
      return folders.home;
    });
    return { home };
  }
}
