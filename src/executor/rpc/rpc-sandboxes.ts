import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { isWorkcellError, toWorkcellError, WorkcellError } from '../../core/errors.ts';
import { RUNTIME_NODE } from '../../protocol/guest-bootstrap.ts';
import { MAILBOX } from '../../protocol/runner-mailbox.ts';
import { Cleanup } from '../../util/cleanup.ts';
import { Deadline, poll } from '../../util/deadline.ts';
import { GatedFiles } from '../../util/gated-files.ts';
import type { MicrosandboxClientOptions } from '../microsandbox-client.ts';
import type { OpenSandbox, SandboxOpener } from '../open-sandbox.ts';
import type { ExecuteProgram } from '../program-executor.ts';
import { RunnerSession } from '../runner-session.ts';
import { Mailbox } from './mailbox.ts';
import { RpcClient, type RpcName } from './rpc-client.ts';
import { takeSlot } from './sandbox-slot.ts';

export interface RpcSandboxesOptions extends MicrosandboxClientOptions {
  /** What every sandbox is like. */
  readonly sandbox: { readonly image: string; readonly cpus: number; readonly memoryMib: number };
  /** Where the processes that share customers agree on names. */
  readonly slots: string;
}

const WORKSPACE = '/workspace';
/** Below the workspace, for each sandbox a folder of its own. */
const CALLS = '.workcell/calls';
/** The bundles that the build makes; the same from `src` and from `dist`. */
const BUNDLES = fileURLToPath(new URL('../../../dist/guest/', import.meta.url));
const STOP_TIMEOUT_MS = 15_000;
const PROBE_SECONDS = 10;
const PROBE_EVERY_MS = 500;

/**
 * Sandboxes of a Microsandbox 0.2 server, which has no streams. The runner is a command that lasts as long as its sandbox, and
 * what it says travels as files in the customer's workspace, which the sandbox has mounted from this very machine.
 */
export class RpcSandboxes implements SandboxOpener {
  readonly #options: RpcSandboxesOptions;
  readonly #client: RpcClient;

  constructor(options: RpcSandboxesOptions) {
    this.#options = options;
    this.#client = new RpcClient(options);
  }

  /** Throws `unsupported` for mounts that the 0.2 line cannot make, `sandbox_boot_failed`, and what the server refuses with. */
  async open(
    { customer, mounts }: Pick<ExecuteProgram, 'customer' | 'mounts'>,
    deadline: Deadline,
  ): Promise<OpenSandbox> {
    const volumes = mounts.map(toVolume);
    const files = new GatedFiles(workspaceOf(mounts));
    const cleanup = new Cleanup();
    try {
      const { name, lock } = await takeSlot(this.#options.slots, customer);
      cleanup.add(() => lock.release());
      // A process that was killed may have left a sandbox under this name, with other mounts and programs that still run.
      await this.#stop(name);
      const own = `${CALLS}/${name.sandbox}`;
      await removeIfThere(files, own);
      cleanup.add(() => removeIfThere(files, own));
      // A runner that could not be stopped must not find what is meant for the next.
      const folder = `${own}/${randomBytes(8).toString('hex')}`;
      await layOut(files, folder);
      cleanup.add(() => this.#stop(name));
      await this.#start(name, volumes, `${WORKSPACE}/${folder}`, deadline);
      return await this.#run({ name, files, folder, cleanup }, deadline);
    } catch (error) {
      await cleanup.run().catch(() => {});
      throw error;
    }
  }

  async #start(name: RpcName, volumes: string[], folder: string, deadline: Deadline): Promise<void> {
    const { image, cpus, memoryMib } = this.#options.sandbox;
    const config = { image, memory: memoryMib, cpus, volumes, workdir: WORKSPACE };
    await this.#client.start(name, config, deadline.signal);
    await this.#probe(name, `${folder}/${MAILBOX.toHost}`, deadline);
  }

  /**
   * The original reports success also for a sandbox that does not run yet, or that runs with other mounts: only a command that
   * finds our file in it tells. Its failures say nothing, so it is tried until the time is up.
   */
  async #probe(name: RpcName, file: string, deadline: Deadline): Promise<void> {
    // Ends before the caller's own deadline, which knows no reason.
    using waiting = deadline.child('Waiting for the sandbox to run', deadline.remainingMs * 0.9);
    let last: WorkcellError | undefined;
    const attempt = async () => {
      using own = waiting.child('Looking for the workspace', PROBE_SECONDS * 1000 * 2);
      const command = { ...nodeCommand(['-e', PROBE, file]), timeout: PROBE_SECONDS };
      try {
        return await this.#client.runCommand(name, command, own.signal);
      } catch (error) {
        last = toWorkcellError(error);
        if (!PASSING.has(last.code)) throw last;
        return undefined;
      }
    };
    const result = await poll(waiting, attempt, PROBE_EVERY_MS).catch((error) => {
      if (!isWorkcellError(error) || error.code !== 'deadline_exceeded' || last === undefined) throw error;
      throw new WorkcellError('sandbox_boot_failed', `${error.message}; the last attempt: ${last.message}`, {
        cause: error,
      });
    });
    if (result.exitCode === 0) return;
    throw new WorkcellError(
      'sandbox_boot_failed',
      `The sandbox runs and does not see the workspace, may not write to it, or its node is older than 20.6: ${result.output.slice(0, 500)}`,
    );
  }

  async #run({ name, files, folder, cleanup }: StartedSandbox, deadline: Deadline): Promise<OpenSandbox> {
    const leaving = new AbortController();
    const path = `${WORKSPACE}/${folder}`;
    const command = nodeCommand([`${path}/${MAILBOX.runner}`, path]);
    const ended = this.#client.runCommand(name, command, leaving.signal).then(
      ({ exitCode, output }) =>
        new WorkcellError('sandbox_lost', `The runner ended with exit code ${exitCode}: ${output.slice(-500)}`),
      (error) => new WorkcellError('sandbox_lost', `The sandbox is gone: ${toWorkcellError(error).message}`),
    );
    const mailbox = new Mailbox({ files, folder, ended });
    cleanup.add(() => {
      mailbox.close();
      leaving.abort(new WorkcellError('cancelled', 'the sandbox was closed'));
    });
    const runner = new RunnerSession(mailbox);
    await deadline.race(Promise.race([mailbox.ready, ended.then((error) => Promise.reject(error))]));
    return {
      // A server of this kind does not say how it isolates, and gets no credit for what it may do.
      info: { id: `${name.namespace}/${name.sandbox}`, driver: 'unknown', isolation: 'process', boot: 'cold' },
      runner,
      touch: () => {},
      close: () => cleanup.run().catch(() => {}),
    };
  }

  /** One that does not exist, or does not run, is stopped well enough. */
  async #stop(name: RpcName): Promise<void> {
    using deadline = new Deadline('Stopping a sandbox', STOP_TIMEOUT_MS);
    await this.#client.stop(name, deadline.signal).catch(() => {});
  }
}

interface StartedSandbox {
  readonly name: RpcName;
  readonly files: GatedFiles;
  readonly folder: string;
  readonly cleanup: Cleanup;
}

/** Failures that may pass while a sandbox comes up. */
const PASSING: ReadonlySet<string> = new Set(['sandbox_lost', 'protocol_error', 'invalid_state', 'deadline_exceeded']);

/** Our own servers' guests have a node of their own, whatever their image has. */
function nodeCommand(args: readonly string[]): { readonly command: string; readonly args: readonly string[] } {
  const choose = `node=${RUNTIME_NODE}; [ -x "$node" ] || node=node; exec "$node" "$@"`;
  return { command: 'sh', args: ['-c', choose, 'sh', ...args] };
}

const PROBE = `
const { accessSync, constants } = require('node:fs');
accessSync(process.argv[1], constants.W_OK);
if (!require('node:module').register) throw new Error('node ' + process.version);
`;

/** What the guest runs, and an empty mailbox. */
async function layOut(files: GatedFiles, folder: string): Promise<void> {
  for (const name of [MAILBOX.toGuest, MAILBOX.toHost]) await files.makeDirectory(`${folder}/${name}`);
  for (const name of [MAILBOX.runner, MAILBOX.program, MAILBOX.hooks, MAILBOX.python, MAILBOX.pythonCheck])
    await files.writeFile(`${folder}/${name}`, await readFile(`${BUNDLES}${name}`));
}

async function removeIfThere(files: GatedFiles, path: string): Promise<void> {
  await files.remove(path).catch((error) => {
    if (!isWorkcellError(error) || error.code !== 'not_found') throw error;
  });
}

type Mount = ExecuteProgram['mounts'][number];

function toVolume(mount: Mount): string {
  if (mount.type !== 'bind' || mount.options?.readonly === true)
    throw new WorkcellError(
      'unsupported',
      `A 0.2 server cannot mount "${mount.guest}": it has folders for writing only`,
    );
  if (mount.host.includes(':'))
    throw new WorkcellError(
      'unsupported',
      `A 0.2 server cannot mount a folder whose path holds a colon at "${mount.guest}"`,
    );
  return `${mount.host}:${mount.guest}`;
}

function workspaceOf(mounts: readonly Mount[]): string {
  const mount = mounts.find(({ guest }) => guest === WORKSPACE);
  if (mount?.type === 'bind') return mount.host;
  throw new WorkcellError('invalid_argument', `A program on a 0.2 server needs a folder mounted at ${WORKSPACE}`);
}
