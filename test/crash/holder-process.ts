import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { HistoryEvent } from '../../src/core/execution.ts';
import type { Command, Told } from './holder-messages.ts';
import type { Moment } from './run-crashes.ts';

const HOLDER = join(import.meta.dirname, 'holder.ts');

/** A process that holds a cell, and what it has told so far. */
export class Holder implements AsyncDisposable {
  readonly events: HistoryEvent[] = [];
  /** Files that the host has written. */
  readonly written: string[] = [];
  readonly ready: Promise<void>;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #stderr = '';
  #isOver = false;
  #onTold: () => void = () => {};

  static start(config: string, env: Readonly<Record<string, string>>): Holder {
    return new Holder(spawn(process.execPath, [HOLDER, config], { env: { ...process.env, ...env }, stdio: 'pipe' }));
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, 'close');
    const ready = Promise.withResolvers<void>();
    this.ready = ready.promise;
    child.on('close', () => ready.reject(new Error(`The holder ended before it was ready: ${this.#stderr}`)));
    this.ready.catch(() => {});
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    child.stdin?.on('error', () => {});
    if (child.stdout === null) throw new Error('The holder has no output');
    createInterface({ input: child.stdout }).on('line', (line) => {
      const told = parse(line);
      if (told?.kind === 'ready') ready.resolve();
      if (told?.kind === 'written') this.written.push(told.path);
      if (told?.kind === 'event') this.events.push(told.event);
      if (told?.kind === 'over') this.#isOver = true;
      this.#onTold();
    });
  }

  /** Why it ended without having been killed, and without the end of its execution. */
  get failure(): string | undefined {
    return this.#isOver ? undefined : this.#stderr || 'it said nothing';
  }

  send(command: Command): void {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  /** Kills it at that moment, and resolves when it is gone: true unless it ended by itself before. `known`: events that are no news. */
  async killedAt(moment: Moment, known: number): Promise<boolean> {
    const kill = () => this.#child.kill('SIGKILL');
    const timer = moment.kind === 'time' ? setTimeout(kill, moment.ms) : undefined;
    this.#onTold = () => {
      if (moment.kind === 'told' && this.events.length >= known + moment.count) kill();
    };
    await this.#ended;
    clearTimeout(timer);
    return this.#child.signalCode === 'SIGKILL';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

/** Undefined for a line that a kill has cut off. */
function parse(line: string): Told | undefined {
  try {
    return JSON.parse(line) as Told;
  } catch {
    return undefined;
  }
}
