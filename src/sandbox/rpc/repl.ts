import { isWorkcellError, WorkcellError } from '../../core/errors.ts';
import type { AgentClient } from '../../protocol/agent-client.ts';
import type { OutputLine } from '../../protocol/json-rpc.ts';
import { Deadline } from '../../util/deadline.ts';
import { Turns } from '../../util/turns.ts';
import { Interpreter } from './interpreter.ts';
import type { Language } from './language.ts';

export interface RunLimits {
  /** Of the run itself, not of waiting for its turn. Absent: as long as it takes. */
  readonly timeoutMs: number | undefined;
  /** Aborts when nobody waits for the result any more. */
  readonly signal: AbortSignal;
}

/** As long as a timer can be. */
const UNLIMITED_MS = 2 ** 31 - 1;

/** A language's interpreter in one sandbox: one evaluation at a time, a new process when the last one is gone. */
export class Repl {
  readonly #agent: AgentClient;
  readonly #language: Language;
  readonly #turns = new Turns();
  #interpreter: Interpreter | undefined;
  /** Said with the next evaluation when nobody could be told that the variables are gone. */
  #notice: string | undefined;

  constructor(agent: AgentClient, language: Language) {
    this.#agent = agent;
    this.#language = language;
  }

  /** What the code has written. Throws `deadline_exceeded` and `cancelled`; the interpreter is killed then. */
  run(code: string, limits: RunLimits): Promise<readonly OutputLine[]> {
    return this.#turns.take(() => this.#run(code, limits));
  }

  async #run(code: string, { timeoutMs, signal }: RunLimits): Promise<readonly OutputLine[]> {
    if (signal.aborted) throw new WorkcellError('cancelled', 'The client left before its turn came');
    if (this.#interpreter?.gone)
      this.#forget(`the ${this.#language} interpreter ended by itself and its variables are lost`);
    const interpreter = this.#interpreter ?? (await this.#start());
    const notice = this.#notice;
    this.#notice = undefined;
    using deadline = new Deadline('The evaluation', timeoutMs ?? UNLIMITED_MS, { signal });
    try {
      const { output, ended } = await interpreter.run(code, deadline);
      if (ended !== undefined) this.#interpreter = undefined;
      return [...noted(notice), ...output, ...noted(ended === undefined ? undefined : this.#describeEnd(ended))];
    } catch (error) {
      this.#forget(signal.aborted ? `the client of an earlier evaluation left, ${this.#lost}` : undefined);
      if (!isWorkcellError(error) || error.code !== 'deadline_exceeded') throw error;
      throw new WorkcellError('deadline_exceeded', `${error.message}: ${this.#lost}`, { cause: error });
    }
  }

  #forget(notice: string | undefined): void {
    this.#interpreter = undefined;
    this.#notice = notice;
  }

  get #lost(): string {
    return `the ${this.#language} interpreter was killed and its variables are lost`;
  }

  #describeEnd(end: number | WorkcellError): string {
    const how = typeof end === 'number' ? `with exit code ${end}` : `because ${end.message}`;
    return `the ${this.#language} interpreter ended ${how}; its variables are lost`;
  }

  async #start(): Promise<Interpreter> {
    this.#interpreter = await Interpreter.start(this.#agent, this.#language);
    return this.#interpreter;
  }
}

function noted(text: string | undefined): OutputLine[] {
  return text === undefined ? [] : [{ stream: 'stderr', text: `[workcell] ${text}` }];
}
