import type { PendingApproval } from '../core/execution.ts';
import type { ExecutionId } from '../core/ids.ts';
import type { ApprovalFolder } from '../sessions/approval-folder.ts';
import { ApprovalGate, type ApprovalGateOptions } from './approval-gate.ts';

type GateOptions = Omit<ApprovalGateOptions, 'onWaiting' | 'onClosed'>;

/** The gates of the programs of one customer that this process runs, and the watch for decisions that other processes make. */
export class OpenGates {
  readonly #folder: ApprovalFolder;
  readonly #onChange: (open: readonly PendingApproval[]) => void;
  readonly #gates = new Map<ExecutionId, ApprovalGate>();
  #opened = Promise.withResolvers<void>();
  #waiting = 0;
  #watch: Disposable | undefined;

  /** `onChange` is told what waits here whenever that may have been decided elsewhere. */
  constructor(folder: ApprovalFolder, onChange: (open: readonly PendingApproval[]) => void) {
    this.#folder = folder;
    this.#onChange = onChange;
  }

  /** Close it when its program has ended. */
  open(options: GateOptions): ApprovalGate {
    const { executionId } = options;
    const gate = new ApprovalGate({
      ...options,
      onWaiting: (isWaiting) => this.#follow(isWaiting),
      onClosed: () => this.#gates.delete(executionId),
    });
    this.#gates.set(executionId, gate);
    this.#opened.resolve();
    this.#opened = Promise.withResolvers();
    return gate;
  }

  get(executionId: ExecutionId): ApprovalGate | undefined {
    return this.#gates.get(executionId);
  }

  /** Resolves when another one is opened. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** Parks the programs that do nothing but wait, now and later. */
  endHolds(): void {
    for (const gate of this.#gates.values()) gate.endHold();
  }

  /** The folder is watched while somebody here waits for a decision. */
  #follow(isWaiting: boolean): void {
    this.#waiting += isWaiting ? 1 : -1;
    if (this.#waiting === 0) {
      this.#watch?.[Symbol.dispose]();
      this.#watch = undefined;
    } else this.#watch ??= this.#folder.watch(() => this.#onChange(this.#open()));
  }

  #open(): readonly PendingApproval[] {
    return [...this.#gates.values()].flatMap(({ open }) => open);
  }
}
