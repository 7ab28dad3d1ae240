import { readFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { WorkcellError } from '../../../core/errors.ts';
import type { HostProcess } from '../../../util/child.ts';
import { Deadline } from '../../../util/deadline.ts';
import { processStat } from '../../../util/process-stat.ts';
import type { Guest, GuestExit, GuestMetrics, GuestRecord, StopReport } from '../../driver.ts';
import type { AgentStream } from './agent-stream.ts';
import { endJail, type JailProcesses } from './jail-processes.ts';

export interface MicrosandboxGuestParts {
  /** Outside of the jail; ends when the machine monitor has ended. */
  readonly supervisor: HostProcess;
  readonly processes: JailProcesses;
  readonly agent: AgentStream;
  readonly record?: GuestRecord;
  /** Lets go of everything else that is the guest's. */
  readonly release: () => Promise<void>;
}

const PAGE_BYTES = 4096;

/** A running microVM of libkrun, in its jail. */
export class MicrosandboxGuest implements Guest {
  readonly boot = 'cold';
  readonly record?: GuestRecord;
  readonly exited: Promise<GuestExit>;
  readonly #parts: MicrosandboxGuestParts;
  #connected = false;
  #asked = false;
  #stopping: Promise<StopReport> | undefined;

  constructor(parts: MicrosandboxGuestParts) {
    this.#parts = parts;
    if (parts.record !== undefined) this.record = parts.record;
    this.exited = this.#watch();
  }

  async connectAgent(_deadline: Deadline): Promise<Duplex> {
    if (this.#connected) throw new WorkcellError('invalid_state', 'The agent of this guest is connected already');
    this.#connected = true;
    return this.#parts.agent.stream;
  }

  stop(graceMs: number): Promise<StopReport> {
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async metrics(): Promise<GuestMetrics> {
    const { pid } = this.#parts.processes.monitor;
    const [statm, stat] = await Promise.all([readFile(`/proc/${pid}/statm`, 'utf8').catch(() => ''), processStat(pid)]);
    return {
      residentBytes: Number(statm.split(' ')[1] ?? 0) * PAGE_BYTES,
      // The runtime maps the guest's memory into the monitor: the two cannot be told apart from outside.
      overheadBytes: 0,
      cpuMs: stat?.cpuMs ?? 0,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }

  async #stop(graceMs: number): Promise<StopReport> {
    this.#asked = true;
    const ended = graceMs > 0 && (await this.#shutDown(graceMs));
    if (!ended) await endJail(this.#parts.supervisor);
    await this.exited;
    return { forced: !ended };
  }

  async #shutDown(graceMs: number): Promise<boolean> {
    using deadline = new Deadline('Shutting down a guest', graceMs);
    this.#parts.agent.shutdown();
    return deadline.race(this.#parts.supervisor.exited).then(
      () => true,
      () => false,
    );
  }

  async #watch(): Promise<GuestExit> {
    await this.#parts.supervisor.exited;
    this.#parts.agent.close();
    // What could not be removed is found by the next sweep.
    await this.#parts.release().catch(() => {});
    return { unexpected: !this.#asked, reason: 'the virtual machine ended' };
  }
}
