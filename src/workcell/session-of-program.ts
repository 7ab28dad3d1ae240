import { canonicalJson } from '../core/canonical-json.ts';
import type { ProgramSession } from '../core/program-session.ts';
import { type ToolErrorCode, type ToolOutcome, toolFailed } from '../core/tool-error.ts';
import { formatSize } from '../core/units.ts';
import type { ExecutionLog } from './execution-log.ts';

/** What one program may put into its session. */
export const CHECKPOINT_LIMITS = {
  /** Characters of the name of a step. */
  stepLength: 200,
  /** Bytes of the context's JSON. */
  contextBytes: 256 * 1024,
  /** Checkpoints of one run, and bytes of all of them together. */
  count: 1000,
  totalBytes: 16 * 1024 * 1024,
} as const;

/** A checkpoint that is fit to be kept. */
export interface CheckedCheckpoint {
  readonly step: number | string;
  readonly context: unknown;
}

/** The checkpoint as it is kept, or what is wrong with it. Whatever is given, this does not throw. */
export function checkCheckpoint(
  step: unknown,
  context: unknown,
): (CheckedCheckpoint & { readonly bytes: number }) | string {
  const { stepLength, contextBytes } = CHECKPOINT_LIMITS;
  if (!isStep(step)) return 'the step of a checkpoint must be a whole number that is not negative, or a text';
  if (typeof step === 'string' && step.length > stepLength)
    return `the step of a checkpoint may have ${stepLength} characters, and this one has ${step.length}`;
  const json = jsonOf(context ?? null);
  if (json === undefined) return 'the context of a checkpoint must be JSON';
  const bytes = Buffer.byteLength(json);
  if (bytes <= contextBytes) return { step, context: JSON.parse(json) as unknown, bytes };
  return `the context of a checkpoint has ${formatSize(bytes)} of JSON, more than the ${formatSize(contextBytes)} allowed; put data into files of the workspace`;
}

function isStep(step: unknown): step is number | string {
  return typeof step === 'number' ? Number.isSafeInteger(step) && step >= 0 : typeof step === 'string' && step !== '';
}

export interface SessionOfProgramOptions {
  readonly log: ExecutionLog;
  /** What the program is told. */
  readonly told: ProgramSession;
  /** Becomes the `lastTask` of its checkpoints. */
  readonly task: string | null;
  /** Checkpoints that it has set before, and that a replay sets again. */
  readonly replayed?: readonly CheckedCheckpoint[];
}

/** The session as the program that runs in it has it. */
export class SessionOfProgram {
  readonly told: ProgramSession;
  readonly #options: SessionOfProgramOptions;
  readonly #replayed: string[];
  #count = 0;
  #bytes = 0;

  constructor(options: SessionOfProgramOptions) {
    this.#options = options;
    this.told = options.told;
    this.#replayed = (options.replayed ?? []).map(keyOf);
  }

  /** Keeps a checkpoint, or says why not; it is on disk when this resolves. Never rejects. */
  async setCheckpoint(step: unknown, context: unknown): Promise<ToolOutcome> {
    const checked = checkCheckpoint(step, context);
    if (typeof checked === 'string') return refused('invalid_arguments', `Cannot keep it: ${checked}`);
    this.#count += 1;
    this.#bytes += checked.bytes;
    const { count, totalBytes } = CHECKPOINT_LIMITS;
    if (this.#count > count || this.#bytes > totalBytes) {
      const limits = `${count} checkpoints, and ${formatSize(totalBytes)} in all`;
      return refused('budget_exhausted', `A program may set ${limits}; set fewer, or smaller ones`);
    }
    if (this.#isReplayed(checked)) return KEPT;
    const isKept = await this.#options.log.checkpoint({ ...checked, lastTask: this.#options.task });
    return isKept ? KEPT : refused('cancelled', 'The run is over: what it does cannot be recorded');
  }

  /** What is in the log already is not set again: it may have been followed by others. */
  #isReplayed(checkpoint: CheckedCheckpoint): boolean {
    const at = this.#replayed.indexOf(keyOf(checkpoint));
    if (at >= 0) this.#replayed.splice(at, 1);
    return at >= 0;
  }
}

const KEPT: ToolOutcome = { ok: true, value: null };

function refused(code: ToolErrorCode, message: string): ToolOutcome {
  return toolFailed({ server: 'runtime', tool: 'checkpoint' }, { code, message });
}

function keyOf({ step, context }: CheckedCheckpoint): string {
  return canonicalJson([step, context]);
}

function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}
